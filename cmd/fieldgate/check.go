package main

import (
	"context"
	"fmt"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway/config"
)

type checkCommand struct {
	controlFlag
	Deep bool   `help:"Also read every device once, and say which answer. Ends with 1 if one does not."`
	JSON bool   `help:"With --deep: print one JSON object."`
	File string `arg:"" optional:"" default:"/etc/fieldgate/fieldgate.toml" help:"Configuration file; conf.d/*.toml beside it is read too."`
}

// Run checks the configuration; it touches hardware only with --deep.
func (k checkCommand) Run(ctx context.Context, c cli.Console) error {
	cfg, err := config.Load(k.File, builtin.Drivers())
	if err != nil {
		return err
	}
	for _, n := range cfg.Notes {
		fmt.Fprintf(c.Err, "warning: %s\n", n)
	}
	if k.Deep && k.JSON {
		return k.deep(ctx, c, cfg)
	}
	_, err = fmt.Fprintf(c.Out, "%s is a valid configuration: %s\n", k.File, summary(cfg))
	if err == nil && k.Deep {
		err = k.deep(ctx, c, cfg)
	}
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
