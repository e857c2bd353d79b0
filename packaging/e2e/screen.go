package e2e

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

// A Screen is a WebSocket client of the gateway's /ws that remembers all it was shown. It dials until it is let in, and
// again whenever it is cut off, for as long as the test runs.
type Screen struct {
	mu      sync.Mutex
	seen    []Reading // in order of arrival, each name once: a snapshot repeats the last ones
	known   map[Name]bool
	status  Status
	changed chan struct{} // closed and replaced at every message
}

// Watch dials the gateway's /ws at addr ("host:port") until the test ends.
func Watch(t *testing.T, addr string) *Screen {
	s := &Screen{known: map[Name]bool{}, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.run(ctx, "ws://"+addr+"/ws") })
	t.Cleanup(func() { cancel(); done.Wait() })
	return s
}

func (s *Screen) run(ctx context.Context, url string) {
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
func (s *Screen) read(ctx context.Context, conn *websocket.Conn) {
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

func (s *Screen) show(message []byte) {
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
		var r Reading
		if json.Unmarshal(message, &r) == nil && !s.known[r.Name()] {
			s.known[r.Name()] = true
			s.seen = append(s.seen, r)
		}
	case "status":
		var st Status
		if json.Unmarshal(message, &st) == nil {
			s.status = st
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// Snapshot returns what was seen so far, the last status, and a channel that is closed at the next message.
func (s *Screen) Snapshot() ([]Reading, Status, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen), s.status, s.changed
}

// Await waits until what was seen from index from on satisfies ok and says how long that took.
func (s *Screen) Await(t *testing.T, what string, from int, ok func([]Reading, Status) bool) time.Duration {
	t.Helper()
	start, deadline := time.Now(), time.After(Patience)
	for {
		seen, st, changed := s.Snapshot()
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

// AwaitValue waits for a reading of the device with this value that comes from now on.
func (s *Screen) AwaitValue(t *testing.T, device string, value float64) time.Duration {
	t.Helper()
	return s.Await(t, fmt.Sprintf("%s = %v", device, value), s.Count(), func(seen []Reading, _ Status) bool {
		return slices.ContainsFunc(seen, func(r Reading) bool { return r.Device == device && r.Value == value })
	})
}

// AwaitSpan waits until the readings from index from on span d of the gateway's time.
func (s *Screen) AwaitSpan(t *testing.T, from int, d time.Duration) {
	t.Helper()
	s.Await(t, fmt.Sprintf("%v of readings", d), from, func(seen []Reading, _ Status) bool {
		return len(seen) > 1 && seen[len(seen)-1].Timestamp.Sub(seen[0].Timestamp) >= d
	})
}

func (s *Screen) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}
