package netwatch_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway/netwatch"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// settle is longer than what gathers messages of the kernel.
const settle = 400 * time.Millisecond

const patience = 30 * time.Second

// One wake for all that happens together, and none for what cannot help.
func TestWhatWakes(t *testing.T) {
	t.Parallel()
	if !e2e.OwnNetwork(t) {
		return
	}
	var wakes atomic.Int64
	e2e.IP(t, "link add gw0 type veth peer name cloud0")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- netwatch.Run(ctx, func() { wakes.Add(1) }, slog.New(slog.DiscardHandler)) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-time.After(settle)
	for _, c := range []struct {
		do    string
		wakes bool
	}{
		{"addr add 127.0.0.1/8 dev lo", false},
		{"link set lo up", false},
		{"link set cloud0 up", false},
		{"addr add fe80::7/64 dev gw0 nodad", false},
		{"link set gw0 up", true},
		{"link set gw0 alias uplink", false},
		{"addr add 192.0.2.1/24 dev gw0", true},
		{"route add 198.51.100.0/24 via 192.0.2.2", true},
		{"route add 203.0.113.0/24 via 192.0.2.2 table 7", false},
		{"route del 198.51.100.0/24", false},
		{"link set gw0 down", false},
		{"link del gw0", false},
	} {
		before := wakes.Load()
		e2e.IP(t, c.do)
		for end := time.Now().Add(patience); c.wakes && wakes.Load() == before && time.Now().Before(end); {
			<-time.After(10 * time.Millisecond)
		}
		<-time.After(settle)
		if n := wakes.Load() - before; n > 1 || n == 1 != c.wakes {
			t.Errorf("%s: woken %d times, want %v", c.do, n, c.wakes)
		}
	}
}
