package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/command"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// A plant is the executor that remembers what acted.
type plant struct {
	mu    sync.Mutex
	acted []string
	takes func(id string) (time.Duration, error) // nil: no time, no error
	hears bool                                   // a command is broken off when the gateway stops
}

func (p *plant) Check(c gateway.Command) error {
	if c.Device == "none" {
		return errors.New("this gateway has no output named none")
	}
	return nil
}

func (p *plant) Act(ctx context.Context, c gateway.Command) (*float64, error) {
	p.mu.Lock()
	p.acted = append(p.acted, c.ID)
	takes, hears := p.takes, p.hears
	p.mu.Unlock()
	if takes == nil {
		return c.Value, nil
	}
	d, err := takes(c.ID)
	if !hears {
		ctx = context.Background()
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		err = ctx.Err()
	}
	return c.Value, err
}

// will says how long a command takes, and what it ends with.
func (p *plant) will(takes func(id string) (time.Duration, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takes = takes
}

func (p *plant) did() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.acted)
}

// A card does what refuse says to every step.
type card struct {
	mu      sync.Mutex
	refuse  error
	applied bool // although it is refused
	slow    time.Duration
	steps   int
	during  func() // called once, in the next step
}

// did counts the steps so far.
func (c *card) did() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}

func (c *card) set(refuse error, applied bool, slow time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse, c.applied, c.slow = refuse, applied, slow
}

func (c *card) Do(_ store.Step, act func() error) error {
	c.mu.Lock()
	refuse, applied, slow := c.refuse, c.applied, c.slow
	c.steps++
	during := c.during
	c.during = nil
	c.mu.Unlock()
	if during != nil {
		during()
	}
	time.Sleep(slow)
	if refuse != nil && !applied {
		return refuse
	}
	return errors.Join(act(), refuse)
}

// A bench is a dispatcher in front of a real store on a card that can fail.
type bench struct {
	*testing.T
	plant *plant
	card  *card
	clock *clock.Fake
	dir   string
	s     *store.Store

	record *storetest.Recorder // in the place of card; may be nil

	mu   sync.Mutex
	told []gateway.CommandResult

	dispatcher *command.Dispatcher
	cancel     func() // of the dispatcher
	stop       func()
}

// onBench runs test in a bubble.
func onBench(t *testing.T, test func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, plant: &plant{}, card: &card{}, clock: clock.NewFake(gateway.BootID{1}), dir: t.TempDir()}
		b.open()
		test(b)
		b.close()
	})
}

func (b *bench) open() {
	b.Helper()
	var under store.Card = b.card
	if b.record != nil {
		under = b.record
	}
	var err error
	b.s, err = store.Open(store.Options{
		Dir: b.dir, FlushInterval: 5 * time.Second, HistoryFlush: 10 * time.Minute, Rate: 1000, Burst: 10,
		Clock: b.clock, Conditions: health.New(quiet), Log: quiet, Card: under,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.dispatcher = command.New(command.Options{Records: b.s, Executor: b.plant, Clock: b.clock, Tell: b.hear, Log: quiet})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.dispatcher.Run(ctx) })
	storing, end := context.WithCancel(context.Background())
	wg.Go(func() { _ = b.s.Run(storing) })
	b.cancel = cancel
	b.stop = func() {
		cancel()
		synctest.Wait()
		end()
		wg.Wait()
	}
}

func (b *bench) close() {
	b.Helper()
	b.stop()
	if err := b.s.Close(); err != nil {
		b.Fatal(err)
	}
}

// reboot starts the gateway anew, on another boot if that is not 0.
func (b *bench) reboot(boot byte) {
	b.Helper()
	b.close()
	if boot != 0 {
		b.clock = clock.NewFake(gateway.BootID{boot})
	}
	b.forget()
	b.open()
	synctest.Wait()
}

func (b *bench) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = nil
}

func (b *bench) hear(r gateway.CommandResult) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, r)
}

// give hands over a command and lets what follows at once happen.
func (b *bench) give(c gateway.Command) {
	b.dispatcher.Take(c, b.clock.Stamp())
	synctest.Wait()
}

func (b *bench) states(id string) (states []gateway.CommandState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.told {
		if r.ID == id {
			states = append(states, r.State)
		}
	}
	return states
}

// events gives the states that the events of a command tell.
func (b *bench) events(id string) (states []gateway.CommandState) {
	b.Helper()
	all, _ := b.s.NextEvents(gateway.Name{}, 1<<20)
	for _, ev := range all {
		var r gateway.CommandResult
		if ev.Kind != gateway.EventResult {
			continue
		}
		if err := json.Unmarshal(ev.Body, &r); err != nil {
			b.Fatal(err)
		}
		if r.ID == id {
			states = append(states, r.State)
		}
	}
	return states
}

func (b *bench) want(id string, want ...gateway.CommandState) {
	b.Helper()
	if got := b.states(id); !slices.Equal(got, want) {
		b.Errorf("%s: told %v, want %v", id, got, want)
	}
}

func (b *bench) wantActed(want ...string) {
	b.Helper()
	if got := b.plant.did(); !slices.Equal(got, want) {
		b.Errorf("acted %v, want %v", got, want)
	}
}

func pump(id string, ttl time.Duration) gateway.Command {
	one := 1.0
	return gateway.Command{ID: id, Device: "pump", Action: "set", Value: &one, TTL: ttl}
}

const (
	accepted = gateway.CommandAccepted
	running  = gateway.CommandRunning
	done     = gateway.CommandDone
	failed   = gateway.CommandFailed
	rejected = gateway.CommandRejected
	expired  = gateway.CommandExpired
	unknown  = gateway.CommandUnknown
)
