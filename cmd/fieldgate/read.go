package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/control"
	"github.com/fieldgate/fieldgate/gateway/pipeline"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// visitWithin bounds a visit that the daemon is asked for, the wait for the bus
// included; the longest that a device may take is a minute.
const visitWithin = 50 * time.Second

// codeNoDevice is the code of a fault: the gateway has no such device.
const codeNoDevice = "no_device"

type readCommand struct {
	controlFlag
	Device string `arg:"" help:"Its id in the configuration. It must be given: there is no device without one."`
	Config string `default:"/etc/fieldgate/fieldgate.toml" help:"Configuration file that names the device, if no gateway runs."`
	JSON   bool   `help:"Print one JSON object."`
}

// readQuestion is what the daemon is asked.
type readQuestion struct {
	Device string `json:"device"`
	Place  string `json:"place,omitempty"` // as place gives it: only if the gateway means the same; "": whatever it means
}

// A visitResult is what one visit gave, or why it gave nothing.
type visitResult struct {
	Device   string         `json:"device"`
	Driver   string         `json:"driver"`
	Bus      string         `json:"bus,omitempty"`
	Readings []visitReading `json:"readings"`
	Notes    []string       `json:"notes,omitempty"` // why a value is in doubt, or missing
	Error    string         `json:"error,omitempty"` // "": there are readings
	Advice   string         `json:"advice,omitempty"`
	Took     float64        `json:"took_ms"`   // opening included
	Waited   float64        `json:"waited_ms"` // for other devices of the bus
	By       string         `json:"by"`        // "gateway", or "command" if none runs
}

type visitReading struct {
	Quantity string   `json:"quantity"`
	Value    float64  `json:"value"`
	Unit     string   `json:"unit"`
	Quality  string   `json:"quality"`
	Raw      *float64 `json:"raw,omitempty"` // as the device gave it, if scale and offset change it
}

// Run visits a device now: by the running gateway, else by itself.
func (k readCommand) Run(ctx context.Context, c cli.Console) error {
	r, err := control.Ask[visitResult](ctx, k.client(), askRead, readQuestion{Device: k.Device})
	if errors.Is(err, control.ErrNotRunning) {
		fmt.Fprintln(c.Err, "No gateway runs here, so the device is read by this command.")
		r, err = k.itself(ctx)
	}
	if err != nil {
		return whatToDo(err)
	}
	if k.JSON {
		err = json.NewEncoder(c.Out).Encode(r)
	} else if r.Error == "" {
		_, err = c.Out.Write([]byte(r.text()))
	}
	if err == nil && r.Error != "" {
		err = errors.New(r.sentence())
	}
	return err
}

// itself visits a device of the configuration without a daemon.
func (k readCommand) itself(ctx context.Context) (visitResult, error) {
	cfg, err := config.Load(k.Config, builtin.Drivers())
	if err != nil {
		return visitResult{}, err
	}
	for _, d := range newRack(cfg.Devices).plan() {
		if d.ID == k.Device {
			return visitItself(ctx, cfg, d), nil
		}
	}
	return visitResult{}, noSuchDevice(k.Device, cfg)
}

// visitItself visits a device without a daemon.
func visitItself(ctx context.Context, cfg *config.Config, d sample.Device) visitResult {
	v, err := sample.Once(ctx, sample.Options{
		Devices: []sample.Device{d}, OpenBus: newRack(cfg.Devices).openBus, Stamp: func() gateway.Stamp { return 0 },
	})
	r := resultOf(d, v, err, pipeline.New(pipeline.Options{Channels: treatments(cfg)}))
	r.By = "command"
	return r
}

// serveRead visits a device in the turn of its bus.
func (d *daemon) serveRead(ctx context.Context, q *control.Request, answer func(any) error) error {
	var ask readQuestion
	if err := q.Decode(&ask); err != nil {
		return err
	}
	for i, dev := range d.rack.plan() {
		if dev.ID != ask.Device {
			continue
		}
		if ask.Place != "" && ask.Place != place(d.cfg.Devices[i]) {
			return &control.Fault{Status: http.StatusConflict, Code: "changed",
				Message: "not read, because the gateway runs with another configuration of it: restart it first (systemctl restart fieldgate)"}
		}
		d.log.Info("a device is read on request", "device", ask.Device, "by", q.Caller.String())
		ctx, cancel := context.WithTimeout(ctx, visitWithin)
		defer cancel()
		v, err := d.sampler.Visit(ctx, ask.Device)
		return answer(resultOf(dev, v, err, d.pipe))
	}
	return &control.Fault{Status: http.StatusNotFound, Code: codeNoDevice, Message: noSuchDevice(ask.Device, d.cfg).Error()}
}

func noSuchDevice(id string, cfg *config.Config) error {
	var ids []string
	for _, d := range cfg.Devices {
		ids = append(ids, d.ID)
	}
	if len(ids) == 0 {
		return fmt.Errorf("there is no device %q: the configuration has none", id)
	}
	return fmt.Errorf("there is no device %q; there are %s", id, strings.Join(ids, ", "))
}

// resultOf says what a visit gave, as it would be stored.
func resultOf(d sample.Device, v sample.Visit, err error, pipe *pipeline.Pipeline) visitResult {
	r := visitResult{
		Device: d.ID, Driver: d.Driver, Bus: d.Bus, Readings: []visitReading{}, Notes: v.Notes,
		Took: milliseconds(v.Took), Waited: milliseconds(v.Waited), By: "gateway",
	}
	if err != nil {
		r.Error, r.Advice = err.Error(), advice(err)
	}
	for _, raw := range v.Readings {
		x := pipe.Treat(raw)
		out := visitReading{Quantity: x.Channel.Quantity, Value: x.Value, Unit: x.Channel.Unit, Quality: x.Quality.String()}
		if x.Value != raw.Value {
			out.Raw = &raw.Value
		}
		r.Readings = append(r.Readings, out)
	}
	return r
}

// advice says what to look at when a visit failed.
func advice(err error) string {
	switch {
	case errors.Is(err, drivers.ErrBus):
		return "Check that the bus is switched on, and who may open it"
	case errors.Is(err, drivers.ErrAbsent):
		return "Check its power, wiring and address"
	}
	return "Check its wiring and that the driver is the right one"
}

// where names the device, its driver and its bus.
func (r visitResult) where() string {
	if r.Bus == "" {
		return fmt.Sprintf("%s (%s)", r.Device, r.Driver)
	}
	return fmt.Sprintf("%s (%s on %s)", r.Device, r.Driver, r.Bus)
}

// sentence says why there is no value.
func (r visitResult) sentence() string {
	return fmt.Sprintf("%s gives no value: %s. %s.", r.where(), r.Error, r.Advice)
}

// text is the result for people.
func (r visitResult) text() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, x := range r.Readings {
		fmt.Fprintf(table, "%s\t%s", x.Quantity, withUnit(x.Value, x.Unit))
		if x.Quality != gateway.Good.String() {
			fmt.Fprintf(table, "\t%s", strings.ReplaceAll(x.Quality, "_", " "))
		}
		if x.Raw != nil {
			fmt.Fprintf(table, "\t(the device says %s)", withUnit(*x.Raw, x.Unit))
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush() // into memory
	for _, note := range r.Notes {
		fmt.Fprintln(&b, note)
	}
	fmt.Fprintf(&b, "%s, read in %.1f ms", r.where(), r.Took)
	if r.Waited >= 1 {
		fmt.Fprintf(&b, " after a wait of %.0f ms for the bus", r.Waited)
	}
	fmt.Fprintln(&b, "; not stored")
	return b.String()
}
