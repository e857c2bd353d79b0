package control_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway/control"
)

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// However many say nothing, one that asks is answered at once.
func TestSilentCallersKeepNobodyOut(t *testing.T) {
	r := serve(t, socketPath(t))
	before := files(t)
	for range 100 {
		dial(t, r.path)
	}
	began := time.Now()
	if lines, err := ask(t, r.path, "GET /v1/one", nil); err != nil || lines != "1" {
		t.Errorf("%q, %v", lines, err)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
	// Both ends are files of this process: 100 of the callers, at most 16 of the server.
	if n := files(t) - before; n > 100+16+8 {
		t.Errorf("%d files more are open", n)
	}
}

func files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// When all places are taken by requests under way, a newcomer waits for one.
func TestNewcomerWaitsForAPlace(t *testing.T) {
	r := serve(t, socketPath(t))
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	for range 16 {
		c := dial(t, r.path)
		if _, err := io.WriteString(c, "GET /v1/wait HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		busy.Go(func() { <-ctx.Done(); _ = c.Close() })
	}
	time.Sleep(200 * time.Millisecond) // until all are under way
	time.AfterFunc(300*time.Millisecond, cancel)
	began := time.Now()
	if lines, err := ask(t, r.path, "GET /v1/one", nil); err != nil || lines != "1" {
		t.Errorf("%q, %v", lines, err)
	}
	if d := time.Since(began); d < 200*time.Millisecond || d > 5*time.Second {
		t.Errorf("it waited for %v", d)
	}
	busy.Wait()
}

// A caller that takes nothing is given up within seconds.
func TestCallerThatDoesNotRead(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes five seconds")
	}
	r := serve(t, socketPath(t))
	c := dial(t, r.path)
	if _, err := io.WriteString(c, "GET /v1/flood HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-flooded:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("given up with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it is still being waited for")
	}
}

// A stop waits for nobody: not for who says nothing, who says half a request,
// whose answer is under way, or who does not read.
func TestStopIsNotHeldUp(t *testing.T) {
	r := serve(t, socketPath(t))
	dial(t, r.path)
	for _, text := range []string{"GET /v1/o", "GET /v1/wait HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/flood HTTP/1.1\r\nHost: x\r\n\r\n"} {
		if _, err := io.WriteString(dial(t, r.path), text); err != nil {
			t.Fatal(err)
		}
	}
	told := make(chan error, 1)
	go func() {
		told <- control.Client{Path: r.path}.Ask(context.Background(), "GET /v1/wait", nil, func([]byte) error { return nil })
	}()
	time.Sleep(200 * time.Millisecond) // until all are under way
	began := time.Now()
	r.stop()
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("the stop took %v", d)
	}
	var f *control.Fault
	if err := <-told; !errors.As(err, &f) || f.Code != "stopping" {
		t.Errorf("who waited for an answer was told %v", err)
	}
	select { // of this test
	case <-flooded:
	case <-time.After(10 * time.Second):
		t.Error("the answer that nobody reads has not ended")
	}
}
