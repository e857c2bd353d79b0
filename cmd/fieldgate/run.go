package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/systemd"
)

type runCommand struct {
	Config string `default:"/etc/fieldgate/fieldgate.toml" help:"Configuration file; conf.d/*.toml beside it is read too."`
}

// Run runs the gateway until ctx is done.
func (k runCommand) Run(ctx context.Context, c console) error {
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP) // from now on none ends the process
	cfg, err := config.Load(k.Config, driverTable())
	if err != nil {
		return err
	}
	stream := c.stream()
	log := slog.New(systemd.NewHandler(stream))
	tellNotes(cfg, log)
	return supervise(ctx, &daemon{base: cfg, log: log, lost: stream.Lost, hangUps: hangUps})
}

// tellNotes tells what a configuration says that is not meant.
func tellNotes(cfg *config.Config, log *slog.Logger) {
	for _, n := range cfg.Notes {
		n.Excerpt = ""
		log.Warn("in the configuration: " + n.String())
	}
}
