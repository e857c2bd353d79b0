package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
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

// A demoLine is the line to the cloud that people cut and restore.
type demoLine struct {
	*breaker
	d     *daemon
	cloud *demoCloud
	out   io.Writer
}

// switchUplink cuts and restores the uplink at every u or SIGUSR1.
func (k demoCommand) switchUplink(ctx context.Context, line *demoLine) {
	usr1 := make(chan os.Signal, 1)
	signal.Notify(usr1, syscall.SIGUSR1)
	defer signal.Stop(usr1)
	keys, restore := readKeys(os.Stdin)
	defer restore()
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-usr1:
			line.flip(ctx)
		case key := <-keys:
			if key == 'u' || key == 'U' {
				line.flip(ctx)
			}
		case <-ticker.C:
			if line.isCut() {
				fmt.Fprintf(line.out, "uplink cut: %d readings wait on this board\n", line.d.store.Stats().Unacked)
			}
		}
	}
}

// flip cuts the line, or restores it and tells how what waited is delivered.
func (l *demoLine) flip(ctx context.Context) {
	if !l.isCut() {
		l.set(true)
		fmt.Fprintln(l.out, "uplink cut")
		return
	}
	due := owedOf(l.d.store)
	l.set(false)
	fmt.Fprintln(l.out, "uplink restored")
	l.d.uplink.Wake()
	go due.tell(ctx, l.cloud, l.out) // ends with ctx
}
