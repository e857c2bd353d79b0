//go:build pi

package pi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A name identifies one reading of the gateway for ever.
type name struct {
	epoch string
	seq   uint64
}

// A reading is one line of /ws, or of the cloud's log.
type reading struct {
	Device    string    `json:"device_id"`
	Quantity  string    `json:"quantity"`
	Value     float64   `json:"value"`
	Timestamp time.Time `json:"timestamp"`
	Quality   string    `json:"quality"`
	Epoch     string    `json:"epoch"`
	Seq       uint64    `json:"seq"`
}

func (r reading) name() name { return name{r.Epoch, r.Seq} }

// A status is the part of the gateway's status message that the tests look at.
type status struct {
	Uplink struct {
		State string `json:"state"`
	} `json:"uplink"`
	Store struct {
		Unacked    uint64  `json:"unacked"`
		LossWindow float64 `json:"loss_window_s"`
	} `json:"store"`
	Health []struct {
		Code     string `json:"code"`
		Subject  string `json:"subject"`
		Sentence string `json:"sentence"`
	} `json:"health"`
}

// about reports whether a condition of this subject holds.
func (s status) about(subject string) bool {
	for _, c := range s.Health {
		if c.Subject == subject {
			return true
		}
	}
	return false
}

// A screen is a WebSocket client of the gateway's /ws that remembers all it was shown. It dials until it is let in, and
// again whenever it is cut off, for as long as the test runs.
type screen struct {
	mu      sync.Mutex
	seen    []reading // in order of arrival, each name once: a snapshot repeats the last ones
	known   map[name]bool
	status  status
	changed chan struct{} // closed and replaced at every message
}

func watch(t *testing.T, port int) *screen {
	s := &screen{known: map[name]bool{}, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.run(ctx, fmt.Sprintf("ws://127.0.0.1:%d/ws", port)) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return s
}

func (s *screen) run(ctx context.Context, url string) {
	dialer := websocket.Dialer{HandshakeTimeout: 10 * time.Second} // QEMU accepts for a guest that does not answer
	for ctx.Err() == nil {
		if conn, _, err := dialer.DialContext(ctx, url, nil); err == nil {
			s.read(ctx, conn)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// read shows what comes until nothing came for so long that the board must be off: a cut board sends no FIN.
func (s *screen) read(ctx context.Context, conn *websocket.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for {
		_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
		_, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		s.show(message)
	}
}

func (s *screen) show(message []byte) {
	var kind struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(message, &kind) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch kind.Type {
	case "update":
		var r reading
		if json.Unmarshal(message, &r) == nil && !s.known[r.name()] {
			s.known[r.name()] = true
			s.seen = append(s.seen, r)
		}
	case "status":
		var st status
		if json.Unmarshal(message, &st) == nil {
			s.status = st
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// snapshot returns what was seen so far, the last status, and a channel that is closed at the next message.
func (s *screen) snapshot() ([]reading, status, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen), s.status, s.changed
}

// await waits until what was seen from index from on satisfies ok and says how long that took.
func (s *screen) await(t *testing.T, what string, from int, ok func([]reading, status) bool) time.Duration {
	t.Helper()
	start, deadline := time.Now(), time.After(bootLimit)
	for {
		seen, st, changed := s.snapshot()
		if ok(seen[from:], st) {
			return time.Since(start)
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s: not seen on /ws; the last of %d readings: %+v; status: %+v", what, len(seen), seen[max(0, len(seen)-3):], st)
		}
	}
}

// awaitValue waits for a reading of the device with this value that comes from now on.
func (s *screen) awaitValue(t *testing.T, device string, value float64) time.Duration {
	t.Helper()
	return s.await(t, fmt.Sprintf("%s = %v", device, value), s.count(), func(seen []reading, _ status) bool {
		return slices.ContainsFunc(seen, func(r reading) bool { return r.Device == device && r.Value == value })
	})
}

// awaitSpan waits until the readings from index from on span d of the gateway's time.
func (s *screen) awaitSpan(t *testing.T, from int, d time.Duration) {
	t.Helper()
	s.await(t, fmt.Sprintf("%v of readings", d), from, func(seen []reading, _ status) bool {
		return len(seen) > 1 && seen[len(seen)-1].Timestamp.Sub(seen[0].Timestamp) >= d
	})
}

func (s *screen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}
