//go:build pi

package pi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const gatewayID = "pi-1"

// A cloud is fieldgate-cloud on this host; the guest reaches it as 10.0.2.2, QEMU's name for the host's loopback.
type cloud struct {
	program string
	state   string
	port    int
	server  *exec.Cmd // nil: stopped
}

// newCloud starts a cloud with an empty log and returns it with the token of the gateway.
func newCloud(t *testing.T, root string) (*cloud, string) {
	t.Helper()
	c := &cloud{program: filepath.Join(root, "bin", "fieldgate-cloud"), state: t.TempDir(), port: freePort(t)}
	token, err := exec.Command(c.program, "gateway", "add", gatewayID, "--state", c.state).Output()
	if err != nil {
		t.Fatalf("add the gateway: %v", err)
	}
	t.Cleanup(func() { c.stop(t) })
	c.start(t)
	return c, string(bytes.TrimSpace(token))
}

func (c *cloud) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(c.state, "stderr"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.server = exec.Command(c.program, "run", "--listen", fmt.Sprintf("127.0.0.1:%d", c.port),
		"--state", c.state, "--name", "10.0.2.2")
	c.server.Stderr = log
	c.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.server.Start(); err != nil {
		t.Fatal(err)
	}
	c.await(t, "answers", func(heldLog) bool { return true })
}

func (c *cloud) stop(t *testing.T) {
	t.Helper()
	if c.server == nil {
		return
	}
	_ = c.server.Process.Signal(syscall.SIGTERM)
	if err := c.server.Wait(); err != nil {
		t.Errorf("fieldgate-cloud did not stop in order: %v", err)
	}
	c.server = nil
}

func (c *cloud) url() string { return fmt.Sprintf("wss://10.0.2.2:%d/v1/gateway", c.port) }

// A span is a run of seqs of one epoch that will never come.
type span struct {
	epoch    string
	first, n uint64
	why      string
}

// A heldLog is what the cloud's log holds of the gateway.
type heldLog struct {
	readings map[name][]reading // all that have this name: one, or promise 3 is broken
	last     map[string]uint64  // by epoch: the highest seq held
	gaps     []span             // for an open end: as many as there may be at most
	ended    map[string]string  // by epoch: "closed" or the reason of an open end
}

// explained reports whether a gap covers the name.
func (h heldLog) explained(n name) bool {
	for _, g := range h.gaps {
		if g.epoch == n.epoch && n.seq >= g.first && n.seq < g.first+g.n {
			return true
		}
	}
	return false
}

// lacks returns those of the readings that are not in the log.
func (h heldLog) lacks(rs []reading) []reading {
	var missing []reading
	for _, r := range rs {
		if len(h.readings[r.name()]) == 0 {
			missing = append(missing, r)
		}
	}
	return missing
}

// faults names every reading that is held twice and every hole that no gap explains.
func (h heldLog) faults() []string {
	var found []string
	for n, held := range h.readings {
		if len(held) > 1 {
			found = append(found, fmt.Sprintf("%s/%d is held %d times", n.epoch, n.seq, len(held)))
		}
	}
	for epoch, last := range h.last {
		for seq := uint64(1); seq <= last; seq++ {
			n := name{epoch, seq}
			if len(h.readings[n]) == 0 && !h.explained(n) {
				found = append(found, fmt.Sprintf("%s/%d is a hole that nothing explains", epoch, seq))
			}
		}
	}
	return found
}

// A logLine is a line of any kind in the cloud's answer.
type logLine struct {
	Type string `json:"type"`
	reading
	First  uint64  `json:"first"`
	N      uint64  `json:"n"`
	Why    string  `json:"why"`
	Closed *uint64 `json:"closed"`
	After  uint64  `json:"after"`
	AtMost uint64  `json:"at_most"`
}

func (h *heldLog) add(l logLine) {
	switch {
	case l.Type == "gap":
		h.gaps = append(h.gaps, span{l.Epoch, l.First, l.N, l.Why})
	case l.Type == "end" && l.Closed != nil:
		h.ended[l.Epoch] = "closed"
	case l.Type == "end":
		h.ended[l.Epoch] = l.Why
		h.gaps = append(h.gaps, span{l.Epoch, l.After + 1, l.AtMost, l.Why})
	default:
		h.readings[l.name()] = append(h.readings[l.name()], l.reading)
		h.last[l.Epoch] = max(h.last[l.Epoch], l.Seq)
	}
}

// read asks for the whole log, as an operator does.
func (c *cloud) read(ctx context.Context) (heldLog, error) {
	held := heldLog{readings: map[name][]reading{}, last: map[string]uint64{}, ended: map[string]string{}}
	ca, err1 := os.ReadFile(filepath.Join(c.state, "ca.pem"))
	token, err2 := os.ReadFile(filepath.Join(c.state, "operator.token"))
	if err := errors.Join(err1, err2); err != nil {
		return held, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}}
	url := fmt.Sprintf("https://127.0.0.1:%d/v1/gateways/%s/readings", c.port, gatewayID)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return held, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := client.Do(req)
	if err != nil {
		return held, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return held, fmt.Errorf("%s: %s", url, res.Status)
	}
	return held, held.decode(json.NewDecoder(res.Body))
}

func (h *heldLog) decode(lines *json.Decoder) error {
	for {
		var l logLine
		err := lines.Decode(&l)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		h.add(l)
	}
}

// await reads the log once a second until it satisfies ok, and returns it with the time that took.
func (c *cloud) await(t *testing.T, what string, ok func(heldLog) bool) (heldLog, time.Duration) {
	t.Helper()
	start, deadline := time.Now(), time.After(bootLimit)
	for {
		held, err := c.read(t.Context())
		if err == nil && ok(held) {
			return held, time.Since(start)
		}
		select {
		case <-deadline:
			text, _ := os.ReadFile(filepath.Join(c.state, "stderr"))
			t.Fatalf("the cloud: not seen: %s; %d readings held, error %v; its log:\n%s", what, len(held.readings), err, text)
		case <-time.After(time.Second):
		}
	}
}

// awaitAll waits until the log holds all these readings.
func (c *cloud) awaitAll(t *testing.T, rs []reading) (heldLog, time.Duration) {
	t.Helper()
	return c.await(t, fmt.Sprintf("%d readings", len(rs)), func(h heldLog) bool { return len(h.lacks(rs)) == 0 })
}
