package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/bench/plant"
)

// asJSON gives readings of the plant as other programs store them, one object
// a line.
func asJSON(n int) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	for _, r := range plant.New(1).Append(nil, n) {
		err := enc.Encode(map[string]any{
			"device_id": r.Channel.Device, "quantity": r.Channel.Quantity, "value": r.Value, "unit": r.Channel.Unit,
			"timestamp": time.UnixMicro(int64(r.At)).UTC().Format(time.RFC3339Nano), "quality": gateway.Good.String(),
		})
		if err != nil {
			return nil, fmt.Errorf("encode a reading: %w", err)
		}
	}
	return text.Bytes(), nil
}

// A peer is another way to keep readings.
type peer struct {
	name     string
	batch    int // readings in a commit
	readings int // that are stored to measure it
}

var peers = []peer{
	{"bbolt", 100, 20_000}, // as much as fieldgate flushes at once
	{"wal", 1, 2_000},
}

// run stores readings and gives how many a second.
func (p peer) run(dir string) (perSecond float64, err error) {
	lines, err := asJSON(p.readings)
	if err != nil {
		return 0, err
	}
	tool, err := peerProgram()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(tool, p.name, filepath.Join(dir, p.name), fmt.Sprint(p.batch))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(lines), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("run peer %s: %w", p.name, err)
	}
	var n, seconds float64
	if _, err := fmt.Sscan(string(out), &n, &seconds); err != nil || n != float64(p.readings) {
		return 0, fmt.Errorf("peer %s says %q", p.name, out)
	}
	return n / seconds, nil
}

// peerProgram builds packaging/tools/peers, a program of another module: the
// peers' libraries are not fieldgate's.
func peerProgram() (string, error) {
	path, err := filepath.Abs("bin/peers")
	if err != nil {
		return "", err
	}
	return path, command("go", "build", "-C", "packaging/tools", "-o", path, "./peers")
}
