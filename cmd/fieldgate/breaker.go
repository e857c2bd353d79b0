package main

import (
	"context"
	"errors"
	"net"
	"sync"
)

var errCut = errors.New("the uplink is cut by the demo")

// A breaker is a switch in the line to the cloud: open, it ends the
// connections that stand and lets nobody dial.
type breaker struct {
	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

// dial is net.Dialer.DialContext while the line is whole.
func (b *breaker) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if b.isCut() {
		return nil, errCut
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut {
		_ = conn.Close()
		return nil, errCut
	}
	if b.conns == nil {
		b.conns = map[net.Conn]struct{}{}
	}
	w := &cable{Conn: conn, breaker: b}
	b.conns[w] = struct{}{}
	return w, nil
}

func (b *breaker) isCut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cut
}

// set cuts the line or makes it whole.
func (b *breaker) set(cut bool) {
	b.mu.Lock()
	b.cut = cut
	var ended map[net.Conn]struct{}
	if cut {
		ended, b.conns = b.conns, nil
	}
	b.mu.Unlock()
	for c := range ended {
		_ = c.Close()
	}
}

// A cable is one connection through the breaker.
type cable struct {
	net.Conn
	breaker *breaker
}

func (w *cable) Close() error {
	w.breaker.mu.Lock()
	delete(w.breaker.conns, w)
	w.breaker.mu.Unlock()
	return w.Conn.Close()
}
