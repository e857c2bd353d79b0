package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/control"
)

// deep visits every device of the configuration: by the running gateway, else by
// itself. An error says how many do not answer.
func (k checkCommand) deep(ctx context.Context, c cli.Console, cfg *config.Config) error {
	itself := false
	rack := newRack(cfg.Devices)
	results := []visitResult{}
	for i, dev := range rack.plan() {
		r, err := visitResult{}, error(control.ErrNotRunning)
		if !itself {
			q := readQuestion{Device: dev.ID, Place: place(cfg.Devices[i])}
			r, err = control.Ask[visitResult](ctx, k.client(), askRead, q)
		}
		var refused *control.Fault
		switch {
		case errors.Is(err, control.ErrNotRunning):
			itself = true // once for all: a bus is not used from two sides
			r = visitItself(ctx, cfg, dev)
		case errors.As(err, &refused):
			if refused.Code == codeNoDevice {
				refused.Message = "not read, because the gateway runs without it: restart it first (systemctl restart fieldgate)"
			}
			r = visitResult{Device: dev.ID, Driver: dev.Driver, Bus: dev.Bus, Readings: []visitReading{}, Error: refused.Message}
		case err != nil:
			return whatToDo(err)
		}
		if results = append(results, r); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if itself {
		fmt.Fprintln(c.Err, "No gateway runs here, so the devices are read by this command.")
	}
	return k.tell(c, results)
}

// place is what tells whether two configurations mean the same device.
func place(d config.Device) string {
	return fmt.Sprintf("%s %s 0x%x %s %s %t %v", d.Driver, d.Bus, d.Address, d.Chip, d.Line, d.ActiveLow, d.Options)
}

// tell prints what each device gave.
func (k checkCommand) tell(c cli.Console, results []visitResult) error {
	silent := 0
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range results {
		switch {
		case r.Error != "":
			silent++
			fmt.Fprintf(table, "  %s\tNO:\t%s\n", r.Device, strings.TrimSuffix(r.Error+". "+r.Advice, ". ")+".")
		default:
			fmt.Fprintf(table, "  %s\tyes:\t%s\n", r.Device, r.short())
		}
	}
	_ = table.Flush() // into memory
	var err error
	if k.JSON {
		err = json.NewEncoder(c.Out).Encode(map[string]any{"file": k.File, "devices": results})
	} else {
		_, err = fmt.Fprintf(c.Out, "Do the devices answer?\n%s", b.String())
	}
	if err == nil && silent > 0 {
		err = fmt.Errorf("%d of %s give no value", silent, counted(uint64(len(results)), "device"))
	}
	return err
}

// short is what a visit gave, in one line.
func (r visitResult) short() string {
	const most = 4 // quantities; the board itself has many
	var parts []string
	for i, x := range r.Readings {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(r.Readings)-most))
			break
		}
		parts = append(parts, x.Quantity+" "+withUnit(x.Value, x.Unit))
	}
	return strings.Join(append([]string{strings.Join(parts, ", ")}, r.Notes...), "; ")
}
