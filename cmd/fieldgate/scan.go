package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/linux"
	"github.com/fieldgate/fieldgate/drivers/scan"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/control"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

type scanCommand struct {
	controlFlag
	Bus    string `placeholder:"BUS" help:"Scan this I2C bus alone, such as i2c-1. Without it: all buses that Linux or the configuration has."`
	Config string `default:"/etc/fieldgate/fieldgate.toml" help:"Configuration file that says which devices are known, if no gateway runs."`
	JSON   bool   `help:"Print one JSON object."`
}

// scanQuestion is what the daemon is asked.
type scanQuestion struct {
	Bus string `json:"bus"` // "": all
}

// A scanLine is one line of the daemon's answer: a bus, or at the end what Linux
// shows, and the ids that the configuration has.
type scanLine struct {
	Bus    *scan.Bus    `json:"bus,omitempty"`
	Kernel []scan.Shown `json:"kernel,omitempty"`
	Hangs  bool         `json:"hangs,omitempty"` // Linux did not say in time what it shows
	IDs    []string     `json:"ids,omitempty"`
}

// scanWithin bounds the wait for one bus, or for what Linux shows, so that one
// that hangs does not hide the others.
const scanWithin = 5 * time.Second

// Run looks what is connected: by the running gateway, else by itself.
func (k scanCommand) Run(ctx context.Context, c cli.Console) error {
	var found scanFound
	err := k.client().Ask(ctx, askScan, scanQuestion{k.Bus}, func(line []byte) error {
		var l scanLine
		err := json.Unmarshal(line, &l)
		found.take(l)
		return err
	})
	if errors.Is(err, control.ErrNotRunning) {
		fmt.Fprintln(c.Err, "No gateway runs here, so the buses are asked by this command.")
		err = k.itself(ctx, c).run(ctx, k.Bus, func(l scanLine) error { found.take(l); return nil })
	}
	if err != nil {
		return whatToDo(err)
	}
	if k.JSON {
		return json.NewEncoder(c.Out).Encode(found.object())
	}
	_, err = c.Out.Write([]byte(found.text()))
	return err
}

// itself prepares a scan without a daemon. A configuration that cannot be read
// is no reason against it.
func (k scanCommand) itself(ctx context.Context, c cli.Console) *busScan {
	cfg, err := config.Load(k.Config, builtin.Drivers())
	if err != nil {
		fmt.Fprintf(c.Err, "Which devices are configured is not known: %v\n", err)
		cfg = &config.Config{}
	}
	s := &busScan{rack: newRack(cfg.Devices), state: func(string) string { return "" }, own: map[string]drivers.Prober{}}
	s.turn = func(bus string) turn {
		return func(_ context.Context, f func(drivers.Prober) error) error { return s.ownBus(bus, f) }
	}
	return s
}

// serveScan scans in the turn of each bus, so that no planned visit waits for
// longer than some milliseconds.
func (d *daemon) serveScan(ctx context.Context, q *control.Request, answer func(any) error) error {
	var ask scanQuestion
	if err := q.Decode(&ask); err != nil {
		return err
	}
	d.log.Info("the buses are scanned on request", "by", q.Caller.String())
	s := &busScan{rack: d.rack, state: d.deviceState, own: map[string]drivers.Prober{}}
	s.turn = func(bus string) turn {
		return func(ctx context.Context, f func(drivers.Prober) error) error {
			ctx, cancel := context.WithTimeout(ctx, scanWithin)
			defer cancel()
			err := d.sampler.WithBus(ctx, bus, func(handle io.Closer) error { return asProber(bus, handle, f) })
			if errors.Is(err, sample.ErrNoBus) {
				err = s.ownBus(bus, f)
			}
			return err
		}
	}
	return s.run(ctx, ask.Bus, func(l scanLine) error { return answer(l) })
}

// deviceState says how a device is at present.
func (d *daemon) deviceState(id string) string {
	for _, s := range d.sampler.States() {
		if s.ID == id {
			return string(s.State)
		}
	}
	return ""
}

// A turn gives a bus for a moment.
type turn = func(ctx context.Context, f func(bus drivers.Prober) error) error

// A busScan scans the buses of this board.
type busScan struct {
	*rack                        // the daemon's own, if it runs: its buses share their locks
	state func(id string) string // of a device; "": not known
	turn  func(bus string) turn
	own   map[string]drivers.Prober // buses that no sampler has, once they are open
}

// ownBus opens a bus that no sampler has.
func (s *busScan) ownBus(name string, f func(drivers.Prober) error) error {
	if s.own[name] == nil {
		handle, err := s.openBus(name)
		if err != nil {
			return err
		}
		if err := asProber(name, handle, func(p drivers.Prober) error { s.own[name] = p; return nil }); err != nil {
			return err
		}
	}
	return f(s.own[name])
}

// asProber has f use an open bus.
func asProber(name string, handle io.Closer, f func(drivers.Prober) error) error {
	p, ok := handle.(drivers.Prober)
	if !ok {
		return fmt.Errorf("%s is no I2C bus", name)
	}
	return f(p)
}

// run scans one bus, or all, and gives a line for each and one at the end.
func (s *busScan) run(ctx context.Context, only string, each func(scanLine) error) error {
	names, adapters := s.names()
	if only != "" && !slices.Contains(names, only) {
		return &control.Fault{Status: 404, Code: "no_bus", Message: noSuchBus(only, names)}
	}
	found := map[string]scan.Bus{}
	for _, name := range names {
		c, behind := drivers.ParseChannel(name)
		if only != "" && name != only {
			continue
		}
		if _, done := found[c.Bus]; behind && !done {
			found[c.Bus] = s.scan(ctx, c.Bus, adapters, nil) // its chips answer behind every channel, too
		}
		b := s.scan(ctx, name, adapters, found[c.Bus].Chips)
		found[name] = b
		if err := each(scanLine{Bus: &b}); err != nil {
			return err
		}
	}
	end := scanLine{}
	if only == "" {
		end.Kernel, end.Hangs = s.shown(ctx)
	}
	for _, d := range s.devices {
		end.IDs = append(end.IDs, d.ID)
	}
	return each(end)
}

// scan scans one bus; beside are the chips of the bus that it is a channel of.
func (s *busScan) scan(ctx context.Context, name string, adapters map[string]string, beside []scan.Chip) scan.Bus {
	o := scan.Options{
		Bus: name, Adapter: adapters[name], Table: builtin.Drivers(), Turn: s.turn(name),
		Held: scan.HeldOn("/", cmp.Or(s.rack.buses.Adapter(name), name)), Devices: s.on(name), Beside: map[uint16]bool{},
	}
	for _, c := range beside {
		o.Beside[c.Address] = true
	}
	return scan.I2C(ctx, o)
}

func noSuchBus(name string, names []string) string {
	if len(names) == 0 {
		return fmt.Sprintf("there is no bus %s, nor any other I2C bus: switch it on (dtparam=i2c_arm=on), and load i2c-dev", name)
	}
	return fmt.Sprintf("there is no bus %s; there are %s", name, strings.Join(names, ", "))
}

// names gives the I2C buses that Linux has, and those of the configuration. A
// channel that both have goes by its name in the configuration.
func (s *busScan) names() (names []string, adapters map[string]string) {
	names, adapters = scan.Buses("/")
	for _, d := range s.devices {
		if s.table[d.Driver].Bus != drivers.BusI2C || slices.Contains(names, d.Bus) {
			continue
		}
		kernels := s.rack.buses.Adapter(d.Bus)
		names = append(slices.DeleteFunc(names, func(n string) bool { return n == kernels }), d.Bus)
	}
	return names, adapters
}

// on gives the devices that are configured on a bus, by address.
func (s *busScan) on(bus string) map[uint16]scan.Chip {
	known := map[uint16]scan.Chip{}
	for _, d := range s.devices {
		if c, behind := drivers.ParseChannel(d.Bus); behind && c.Bus == bus {
			known[c.Mux] = scan.Chip{Chip: scan.Multiplexer}
		}
		if d.Bus == bus {
			known[uint16(d.Address)] = scan.Chip{Device: d.ID, Driver: d.Driver, Health: s.state(d.ID)}
		}
	}
	return known
}

// shown gives what Linux shows and nobody has configured. A device that hangs
// keeps a goroutine until it answers.
func (s *busScan) shown(ctx context.Context) (all []scan.Shown, hangs bool) {
	ctx, cancel := context.WithTimeout(ctx, scanWithin)
	defer cancel()
	found := make(chan []scan.Shown, 1)
	go func() { found <- scan.Kernel("/") }()
	select {
	case all = <-found:
	case <-ctx.Done():
		return nil, true
	}
	return slices.DeleteFunc(all, func(k scan.Shown) bool {
		return slices.ContainsFunc(s.devices, func(d config.Device) bool { return d.Driver == k.Driver && d.Options["sensor"] == k.Sensor })
	}), false
}

var _ drivers.Prober = (*linux.I2C)(nil)
