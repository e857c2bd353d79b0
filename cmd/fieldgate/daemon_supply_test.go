package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/sim"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

type countingSink struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *countingSink) Take(rs []gateway.Reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rs {
		c.seen[r.Channel.Device]++
	}
}

// A chip that hangs until its power fails is switched off and on by the line
// that the configuration names, and is read again. Its neighbour is read all
// the time.
func TestSupplyFromTheConfiguration(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "f.toml"), `version = 1
[[device]]
id = "tank"
driver = "tmp117"
bus = "sim-1"
power = { line = "GPIO5", chip = "sim", off = "2s", after = 3, at_most = "1/10m" }
[[device]]
id = "boiler"
driver = "mcp9808"
bus = "sim-1"
`)
	cfg, err := config.Load(file, builtin.Drivers())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r, sink := newRack(cfg.Devices), &countingSink{seen: map[string]int{}}
		var told []string
		s := sample.New(sample.Options{Devices: r.plan(), OpenBus: r.openBus, Sink: sink,
			Stamp: func() gateway.Stamp { return 0 }, Health: health.New(slog.New(slog.DiscardHandler)),
			Tell: func(e sample.Event) { told = append(told, strings.TrimSpace(e.Device+" "+e.State+" "+e.Supply)) }})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(10 * time.Second)
		r.simBus("sim-1").Inject(0x48, sim.Fault{Err: sim.ErrTimeout})
		time.Sleep(time.Minute)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := strings.Join(told, "; "); got != "tank failing; tank cut GPIO5; tank ok" {
			t.Errorf("told %s", got)
		}
		if sink.seen["boiler"] < 69 || sink.seen["tank"] < 50 || sink.seen["tank"] > 65 {
			t.Errorf("readings %v", sink.seen)
		}
	})
}
