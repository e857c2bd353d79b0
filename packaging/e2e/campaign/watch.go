package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
)

// A status is what the campaign looks at of a gateway's status.
type status struct {
	Uplink struct {
		State string `json:"state"`
	} `json:"uplink"`
	Store struct {
		Unacked uint64  `json:"unacked"`
		Head    uint64  `json:"head"`
		Window  float64 `json:"loss_window_s"`
	} `json:"store"`
	Health []struct {
		Code string `json:"code"`
	} `json:"health"`
}

// A watcher observes one life of a gateway: it writes down what /ws
// shows, each name once.
type watcher struct {
	url   string
	board *board
	life  int
	gid   string
	to    *recorder
	first chan struct{} // closed at the first reading

	mu     sync.Mutex
	known  map[judge.Name]bool
	window float64
	heard  int
}

func watch(ctx context.Context, b *board, life int) (*watcher, func()) {
	w := &watcher{
		url: fmt.Sprintf("ws://127.0.0.1:%d/ws", b.port), board: b, life: life, gid: b.gateway, to: b.testbed.evidence,
		first: make(chan struct{}), known: map[judge.Name]bool{},
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { w.run(ctx) })
	return w, func() { cancel(); done.Wait() }
}

func (w *watcher) run(ctx context.Context) {
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second}
	for ctx.Err() == nil {
		if conn, _, err := dialer.DialContext(ctx, w.url, nil); err == nil {
			w.read(ctx, conn)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// read writes down what comes until the connection ends: what the kernel has
// of a process that was killed is still read.
func (w *watcher) read(ctx context.Context, conn *websocket.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() {
		time.Sleep(100 * time.Millisecond)
		conn.Close()
	})()
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		w.take(text)
	}
}

func (w *watcher) take(text []byte) {
	var kind struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(text, &kind) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var st status
	if kind.Type == "status" && json.Unmarshal(text, &st) == nil {
		w.window = max(w.window, st.Store.Window)
	}
	h := judge.Heard{At: time.Now().UTC(), Board: w.board.name, Life: w.life}
	if kind.Type != "update" || json.Unmarshal(text, &h) != nil {
		return
	}
	h.Gateway = w.gid
	if w.known[h.Name()] {
		return
	}
	w.known[h.Name()] = true
	if w.heard++; w.heard == 1 {
		close(w.first)
	}
	w.to.note(judge.HeardFile, h)
}

func (w *watcher) largestWindow() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.window
}

// ask asks a gateway for its status.
func (b *board) ask(ctx context.Context) (status, error) {
	var st status
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/api/v1/status", b.port), nil)
	if err != nil {
		return st, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return st, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(text, &st)
}
