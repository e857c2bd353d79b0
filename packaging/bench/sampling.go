package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const tenHertz = 100 * time.Millisecond

// sampling measures 16 devices at 10 Hz on four buses, 100 devices at 10 Hz on
// 25 buses, and a start where 16 devices are absent.
func sampling(bin string) error {
	return errors.Join(
		withChips(bin, 16, func(pid int, addr string) error {
			return errors.Join(cpu("16-devices-at-10-hz-cpu", pid), jitter(addr))
		}),
		withChips(bin, 100, func(pid int, _ string) error { return cpu("1000-readings-a-second-cpu", pid) }),
		startingAbsent(bin),
	)
}

// withChips runs a gateway with n simulated chips, four on a bus.
func withChips(bin string, n int, measure func(pid int, addr string) error) error {
	text := ""
	for i := range n {
		text += fmt.Sprintf("[[device]]\nid = \"chip-%d\"\ndriver = \"lm75\"\nbus = \"sim-%d\"\naddress = %d\ninterval = \"100ms\"\n",
			i, i/4, 0x48+i%4)
	}
	return withGateway(bin, text, measure)
}

// startingAbsent measures from exec to the first reading on /ws when 16
// devices are not there: eight on two buses that are missing, eight on 1-Wire.
func startingAbsent(bin string) error {
	text := "[[device]]\nid = \"chip\"\ndriver = \"lm75\"\nbus = \"sim-1\"\naddress = 0x48\ninterval = \"100ms\"\n"
	for i := range 8 {
		text += fmt.Sprintf("[[device]]\nid = \"absent-%d\"\ndriver = \"lm75\"\nbus = \"i2c-99%d\"\naddress = %d\n", i, i/4, 0x48+i%4)
		text += fmt.Sprintf("[[device]]\nid = \"wire-%d\"\ndriver = \"w1\"\nsensor = \"28-00000000000%d\"\n", i, i)
	}
	start := time.Now()
	return withGateway(bin, text, func(_ int, addr string) error {
		conn, err := dial(addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := update(conn); err != nil {
			return err
		}
		print("start-with-16-absent", float64(time.Since(start).Milliseconds()), "ms")
		return nil
	})
}

func withGateway(bin, devices string, measure func(pid int, addr string) error) error {
	dir, err := os.MkdirTemp("", "fieldgate-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "fieldgate.toml")
	text := fmt.Sprintf(tenChips, filepath.Join(dir, "state"), addr) + devices
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	cmd := exec.Command(filepath.Join(bin, "fieldgate"), "run", "--config", config)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	defer end(cmd)
	return measure(cmd.Process.Pid, addr)
}

// cpu prints the share of one core that a gateway takes in ten seconds of its
// life, without a client.
func cpu(figure string, pid int) error {
	time.Sleep(3 * time.Second) // the start is over
	before, err1 := ticks(pid)
	began := time.Now()
	time.Sleep(10 * time.Second)
	after, err2 := ticks(pid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	print(figure, (after-before)/time.Since(began).Seconds(), "%")
	return nil
}

// ticks is utime+stime of /proc/PID/stat, in hundredths of a second (proc(5)).
func ticks(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the time of the gateway: %w", err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return user + system, errors.Join(err1, err2)
}

// jitter prints how far readings are from their ticks, by their stamps, which
// are whole milliseconds on /ws. The median of a device is its phase.
func jitter(addr string) error {
	conn, err := dial(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	phases := map[string][]float64{}
	for range 3200 {
		device, at, err := stamped(conn)
		if err != nil {
			return err
		}
		phases[device] = append(phases[device], math.Mod(float64(at.UnixMilli()), float64(tenHertz.Milliseconds())))
	}
	var off []float64
	for _, ms := range phases {
		first := ms[0]
		for i := range ms { // around the first, so that 99 and 0 are neighbours
			ms[i] = math.Mod(ms[i]-first+150, 100) - 50
		}
		slices.Sort(ms)
		for _, x := range ms {
			off = append(off, math.Abs(x-ms[len(ms)/2]))
		}
	}
	slices.Sort(off)
	print("16-devices-at-10-hz-jitter-p99", off[len(off)*99/100], "ms")
	return nil
}

// stamped waits for the next reading, and gives its device and stamp.
func stamped(conn *websocket.Conn) (device string, at time.Time, err error) {
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return "", at, fmt.Errorf("read from /ws: %w", err)
		}
		var m struct {
			Type      string
			Device    string `json:"device_id"`
			Timestamp time.Time
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return "", at, fmt.Errorf("read from /ws: %w", err)
		}
		if m.Type == "update" {
			return m.Device, m.Timestamp, nil
		}
	}
}
