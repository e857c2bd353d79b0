package sample_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// A chip is a device that does as it is told.
type chip struct {
	mu     sync.Mutex
	err    error         // of Open and Read
	delay  time.Duration // of Read, if ctx is not done before
	stuck  chan struct{} // not nil: Read waits for it, whatever ctx says
	values []drivers.Value
	opens  int
	halts  int
	reads  int
}

func (c *chip) set(f func(c *chip)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

func (c *chip) open(context.Context, io.Closer) (drivers.Sensor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opens++
	if c.err != nil {
		return nil, c.err
	}
	return c, nil
}

func (c *chip) Read(ctx context.Context) ([]drivers.Value, error) {
	c.mu.Lock()
	c.reads++
	err, delay, stuck := c.err, c.delay, c.stuck
	c.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	if delay > 0 {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("transfer: %w", ctx.Err())
		case <-time.After(delay):
		}
	}
	if err != nil {
		return nil, err
	}
	return c.values, nil
}

func (c *chip) Halt() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.halts++
	return nil
}

// A wire is a bus that can be taken away.
type wire struct {
	mu            sync.Mutex
	err           error
	opens, closes int
}

func (w *wire) open(string) (io.Closer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opens++
	if w.err != nil {
		return nil, w.err
	}
	return w, nil
}

func (w *wire) set(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closes++
	return nil
}

// A rig is a sampler with everything around it, in a synctest bubble.
type rig struct {
	*sample.Sampler
	wire   *wire
	health *health.Table
	began  time.Time
	stop   func() error // ends Run and gives what it returned

	mu   sync.Mutex
	log  bytes.Buffer
	took []took
	told []sample.Event
}

// took is one reading that reached the sink, and when.
type took struct {
	after time.Duration
	gateway.Reading
}

func (r *rig) Take(rs []gateway.Reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range rs {
		r.took = append(r.took, took{time.Since(r.began), x})
	}
}

func (r *rig) tell(e sample.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, e)
}

// eachEvent gives the events that begin like this, in words.
func eachEvent(r *rig, prefix string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for e := range strings.SplitSeq(r.events(), "; ") {
			if strings.HasPrefix(e, prefix) && !yield(e) {
				return
			}
		}
	}
}

// events gives the events so far in words, and forgets them.
func (r *rig) events() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all strings.Builder
	for _, e := range r.told {
		who := e.Device
		if who == "" {
			who = e.Bus
		}
		all.WriteString(strings.TrimSpace(who+" "+e.State+" "+e.Supply) + "; ")
	}
	r.told = nil
	return all.String()
}

// Write is the log.
func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

// start runs a sampler of the given devices. It stops at the end of the test,
// if the test does not stop it.
func start(t *testing.T, devices ...sample.Device) *rig { return startOn(t, &wire{}, devices...) }

// startOn is start with buses that are given.
func startOn(t *testing.T, w *wire, devices ...sample.Device) *rig {
	r := &rig{wire: w, began: time.Now()}
	r.health = health.New(slog.New(slog.NewTextHandler(r, nil)))
	r.Sampler = sample.New(sample.Options{
		Devices: devices, OpenBus: r.wire.open, Sink: r,
		Stamp: clock.NewFake(gateway.BootID{}).Stamp, Health: r.health, Tell: r.tell,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// wait lets virtual time pass, and everything that is due happen.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// all gives every reading that reached the sink and was not forgotten.
func (r *rig) all() []took {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.took)
}

// times lists when readings of a device came, and forgets them.
func (r *rig) times(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var parts []string
	var rest []took
	for _, x := range r.took {
		if x.Channel.Device != id {
			rest = append(rest, x)
			continue
		}
		parts = append(parts, x.after.String())
	}
	r.took = rest
	return strings.Join(parts, " ")
}

var logTime = regexp.MustCompile(`(?m)^time=\S+ `)

// lines gives the log so far without times, and forgets it.
func (r *rig) lines() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := logTime.ReplaceAllString(r.log.String(), "")
	r.log.Reset()
	return text
}

// device gives a lm75 on a bus, read once a second.
func device(id, bus string, c *chip) sample.Device {
	if c.values == nil {
		c.values = []drivers.Value{{Quantity: "temperature", Value: 20}}
	}
	return sample.Device{ID: id, Driver: "lm75", Bus: bus, Interval: time.Second, Timeout: 200 * time.Millisecond,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}}, Open: c.open}
}
