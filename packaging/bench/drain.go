package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	monthReadings = 30 * 24 * 3600 * 20
	drainWithin   = 5 * time.Minute
	liveFor       = 30 * time.Second
)

// twenty simulated chips at 1 Hz beside a cloud on this machine.
const twentyChips = `version = 1
[gateway]
id = "bench"
[uplink]
url = "wss://%s/v1/gateway"
token_file = %q
ca = %q
[store]
dir = %q
[local]
listen = %q
view = "open"
`

// draining measures a gateway with a month's backlog that meets its cloud
// again, each its own process, over TLS on loopback and with every record
// synced to the disk: how fast the backlog drains, how late live readings are
// meanwhile, what memory it takes; and then what a reading costs the line.
func draining(bin string) error {
	return inFolder(func(dir string) error {
		state := filepath.Join(dir, "store")
		if err := plantMonth(state); err != nil {
			return err
		}
		w, err := meet(bin, dir, state)
		if err != nil {
			return err
		}
		defer w.end()
		if err := w.drain(); err != nil {
			return err
		}
		return w.live()
	})
}

// plantMonth fills a store with a month of 20 channels at 1 Hz.
func plantMonth(state string) error {
	b, err := openBench(state, time.Hour)
	if err != nil {
		return err
	}
	for b.total < monthReadings {
		if err := b.add(int(min(65_536, monthReadings-b.total))); err != nil {
			return err
		}
	}
	return errors.Join(b.sound(), b.Close())
}

// A meeting is a gateway and its cloud.
type meeting struct {
	gateway, cloud *exec.Cmd
	local          string // the gateway's own API
	began          time.Time
}

// meet starts both; the gateway last.
func meet(bin, dir, state string) (*meeting, error) {
	local, err1 := freeAddr()
	at, err2 := freeAddr()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "cloud")
	token, err := exec.Command(filepath.Join(bin, "fieldgate-cloud"), "gateway", "add", "bench", "--state", home).Output()
	if err != nil {
		return nil, fmt.Errorf("add the gateway: %w", err)
	}
	tokenFile, config := filepath.Join(dir, "token"), filepath.Join(dir, "fieldgate.toml")
	text := fmt.Sprintf(twentyChips, at, tokenFile, filepath.Join(home, "ca.pem"), state, local)
	for i := range 20 {
		text += fmt.Sprintf("[[device]]\nid = \"chip-%d\"\ndriver = \"lm75\"\nbus = \"sim-%d\"\naddress = %d\ninterval = \"1s\"\n",
			i, i/5, 0x48+i%5)
	}
	if err := errors.Join(os.WriteFile(tokenFile, token, 0o600), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		return nil, fmt.Errorf("write a configuration: %w", err)
	}
	w := &meeting{local: local}
	w.cloud = exec.Command(filepath.Join(bin, "fieldgate-cloud"), "run", "--listen", at, "--state", home)
	if err := w.cloud.Start(); err != nil {
		return nil, fmt.Errorf("start the cloud: %w", err)
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(home, "server.pem")); err == nil {
			break
		}
		if time.Since(start) > patience {
			w.end()
			return nil, errors.New("the cloud does not start")
		}
	}
	w.gateway = exec.Command(filepath.Join(bin, "fieldgate"), "run", "--config", config)
	if err := w.gateway.Start(); err != nil {
		w.end()
		return nil, fmt.Errorf("start the gateway: %w", err)
	}
	w.began = time.Now()
	return w, nil
}

func (w *meeting) end() {
	for _, cmd := range []*exec.Cmd{w.gateway, w.cloud} {
		if cmd != nil {
			end(cmd)
		}
	}
}

// A view is the part of the gateway's status that is measured.
type view struct {
	Uplink struct {
		State   string  `json:"state"`
		LateP99 float64 `json:"live_late_p99_ms"`
	} `json:"uplink"`
	Store struct {
		Unacked uint64 `json:"unacked"`
	} `json:"store"`
}

func (w *meeting) get(path string) ([]byte, error) {
	answer, err := http.Get("http://" + w.local + path)
	if err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(answer.Body)
	return text.Bytes(), err
}

func (w *meeting) view() (v view, err error) {
	text, err := w.get("/api/v1/status")
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	return v, err
}

// carried gives what the line has carried, by kind, in bytes.
func (w *meeting) carried() (map[string]float64, error) {
	text, err := w.get("/metrics")
	if err != nil {
		return nil, err
	}
	kinds := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, `fieldgate_uplink_bytes_total{kind="`)
		if !ok {
			continue
		}
		kind, number, _ := strings.Cut(strings.TrimSpace(rest), `"} `)
		if kinds[kind], err = strconv.ParseFloat(number, 64); err != nil {
			return nil, fmt.Errorf("read /metrics: %w", err)
		}
	}
	return kinds, nil
}

// drain watches the backlog go, from the moment the line is up.
func (w *meeting) drain() error {
	var most, late float64
	var start time.Time
	for time.Since(w.began) < drainWithin {
		time.Sleep(20 * time.Millisecond)
		v, err := w.view()
		if err != nil {
			continue // it does not listen yet
		}
		if start.IsZero() && v.Uplink.State == "online" {
			start = time.Now()
		}
		kb, err := anonymousKB(w.gateway.Process.Pid)
		if err != nil {
			return err
		}
		most, late = max(most, kb), max(late, v.Uplink.LateP99)
		if start.IsZero() || v.Store.Unacked > 100 {
			continue
		}
		took := time.Since(start)
		print("drain-month", took.Seconds(), "s")
		print("drain-month-rate", monthReadings/took.Seconds(), "readings/s")
		print("drain-month-live-late-p99", late/1000, "s")
		print("drain-month-gateway-anonymous-rss", most/1024, "MiB")
		carried, err := w.carried()
		if err != nil {
			return err
		}
		print("wire-backlog", (carried["backlog"]+carried["tls"])/monthReadings, "B/reading")
		return nil
	}
	return fmt.Errorf("the backlog did not drain within %v", drainWithin)
}

// live measures what 20 readings a second cost when nothing else is to be sent.
func (w *meeting) live() error {
	before, err := w.carried()
	if err != nil {
		return err
	}
	time.Sleep(liveFor)
	after, err := w.carried()
	if err != nil {
		return err
	}
	n := 20 * liveFor.Seconds()
	print("wire-live", (after["live"]-before["live"]+after["tls"]-before["tls"])/n, "B/reading")
	all := 0.0
	for kind := range after {
		if kind != "tcp" { // counted by the kernel, and looked at now and then only
			all += after[kind] - before[kind]
		}
	}
	print("wire-live-with-acks-and-heartbeats", all/n, "B/reading")
	return nil
}
