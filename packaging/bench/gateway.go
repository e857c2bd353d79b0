package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

const patience = 30 * time.Second

const tenChips = `version = 1
[gateway]
id = "bench"
[store]
dir = %q
[local]
listen = %q
view = "open"
`

// starting measures a gateway of ten simulated chips read every 100 ms, from
// exec to the first reading on /ws, and from the reading's stamp to the
// client. Stamps on /ws are in whole milliseconds.
func starting(bin string) error {
	dir, err := os.MkdirTemp("", "fieldgate-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	text := fmt.Sprintf(tenChips, filepath.Join(dir, "state"), addr)
	for i := range 10 {
		text += fmt.Sprintf("[[device]]\nid = \"chip-%d\"\ndriver = \"lm75\"\nbus = \"sim-%d\"\naddress = %d\ninterval = \"100ms\"\n",
			i, i/5, 0x48+i%5)
	}
	config := filepath.Join(dir, "fieldgate.toml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	start := time.Now()
	cmd := exec.Command(filepath.Join(bin, "fieldgate"), "run", "--config", config)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	defer end(cmd)
	conn, err := dial(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := update(conn); err != nil {
		return err
	}
	print("start-to-first-reading", float64(time.Since(start).Milliseconds()), "ms")
	var ages []float64
	for range 1000 {
		stamp, err := update(conn)
		if err != nil {
			return err
		}
		ages = append(ages, time.Since(stamp).Seconds()*1000)
	}
	slices.Sort(ages)
	print("sensor-to-ws-p50", ages[len(ages)/2], "ms")
	print("sensor-to-ws-p99", ages[len(ages)*99/100], "ms")
	return nil
}

// startingOn measures a gateway that was killed with a backlog: from exec to
// its first reading on /ws, and its memory a few seconds later.
func startingOn(bin, state string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	config := filepath.Join(filepath.Dir(state), "fieldgate.toml")
	text := fmt.Sprintf(tenChips, state, addr) + "[[device]]\nid = \"chip\"\ndriver = \"lm75\"\nbus = \"sim-1\"\n" +
		"address = 0x48\ninterval = \"100ms\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	start := time.Now()
	cmd := exec.Command(filepath.Join(bin, "fieldgate"), "run", "--config", config)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	defer end(cmd)
	conn, err := dial(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := update(conn); err != nil {
		return err
	}
	print("start-on-a-month-after-kill", float64(time.Since(start).Milliseconds()), "ms")
	for range 50 {
		if _, err := update(conn); err != nil {
			return err
		}
	}
	kb, err := anonymousKB(cmd.Process.Pid)
	if err != nil {
		return err
	}
	print("start-on-a-month-anonymous-rss", kb/1024, "MiB")
	return nil
}

// idling measures the demo's gateway after 20 s of its normal life.
func idling(bin string) error {
	addr, err1 := freeAddr()
	cloud, err2 := freeAddr()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(bin, "fieldgate"), "demo", "--listen", addr, "--cloud-listen", cloud)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the demo: %w", err)
	}
	defer end(cmd)
	conn, err := dial(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	for start := time.Now(); time.Since(start) < 20*time.Second; {
		if _, err := update(conn); err != nil {
			return err
		}
	}
	kb, err := anonymousKB(cmd.Process.Pid)
	if err != nil {
		return err
	}
	print("demo-gateway-anonymous-rss", kb/1024, "MiB")
	return nil
}

// anonymousKB is RssAnon of /proc/PID/status (proc(5)).
func anonymousKB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of the gateway: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, errors.New("the kernel tells no RssAnon")
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait() // its exit code is not what is measured
}

// dial tries until the gateway listens.
func dial(addr string) (*websocket.Conn, error) {
	for start := time.Now(); ; {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws", nil)
		if err == nil {
			return conn, conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		}
		if time.Since(start) > patience {
			return nil, fmt.Errorf("dial the gateway: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// update waits for the next reading and gives its stamp.
func update(conn *websocket.Conn) (time.Time, error) {
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return time.Time{}, fmt.Errorf("read from /ws: %w", err)
		}
		var m struct {
			Type      string
			Timestamp time.Time
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return time.Time{}, fmt.Errorf("read from /ws: %w", err)
		}
		if m.Type == "update" {
			return m.Timestamp, nil
		}
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
