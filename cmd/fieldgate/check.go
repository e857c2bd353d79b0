package main

import (
	"fmt"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway/config"
)

type checkCommand struct {
	File string `arg:"" optional:"" default:"/etc/fieldgate/fieldgate.toml" help:"Configuration file; conf.d/*.toml beside it is read too."`
}

// Run checks the configuration without touching any hardware.
func (k checkCommand) Run(c cli.Console) error {
	cfg, err := config.Load(k.File, driverTable())
	if err != nil {
		return err
	}
	for _, n := range cfg.Notes {
		fmt.Fprintf(c.Err, "warning: %s\n", n)
	}
	_, err = fmt.Fprintf(c.Out, "%s is a valid configuration: %s\n", k.File, summary(cfg))
	return err
}

func summary(cfg *config.Config) string {
	uplink := cfg.Uplink.URL
	if uplink == "" {
		uplink = "none"
	}
	devices := fmt.Sprintf("%d devices", len(cfg.Devices))
	if len(cfg.Devices) == 1 {
		devices = "1 device"
	}
	return fmt.Sprintf("%s, uplink %s, dashboard on %s", devices, uplink, cfg.Local.Listen)
}

// driverTable gives the configuration the drivers of this program as data.
func driverTable() []config.Driver {
	var table []config.Driver
	for _, d := range builtin.Drivers() {
		table = append(table, config.Driver{
			Name: d.Name, Bus: config.BusKind(d.Bus), Addresses: d.Addresses, Address: d.Address,
			Interval: d.Interval, Timeout: d.Timeout, Quantities: names(d.Quantities), Channels: d.MostQuantities, Options: options(d.Options),
		})
	}
	return table
}

func names(quantities []drivers.Quantity) []string {
	var all []string
	for _, q := range quantities {
		all = append(all, q.Name)
	}
	return all
}

func options(opts []drivers.Option) []config.Option {
	var all []config.Option
	for _, o := range opts {
		all = append(all, config.Option{Name: o.Name, Default: o.Default, OneOf: o.OneOf})
	}
	return all
}
