package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/remoteconfig"
	"github.com/fieldgate/fieldgate/systemd"
)

type runCommand struct {
	Config  string `default:"/etc/fieldgate/fieldgate.toml" help:"Configuration file; conf.d/*.toml beside it is read too."`
	Control string `placeholder:"PATH" help:"Socket for fieldgate status, read and scan. Without it: control.sock in the folder that systemd made for the service (RuntimeDirectory=), else none."`
}

// controlPath is where the tools find the daemon; "": nowhere. The state folder
// is no place for it: a card that hangs would keep the daemon from starting.
func (k runCommand) controlPath() string {
	dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":") // systemd.exec(5)
	if k.Control != "" || dir == "" {
		return k.Control
	}
	return filepath.Join(dir, "control.sock")
}

// Run runs the gateway until ctx is done.
func (k runCommand) Run(ctx context.Context, c cli.Console) error {
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP) // from now on none ends the process
	cfg, err := config.Load(k.Config, builtin.Drivers())
	if err != nil {
		return err
	}
	stream := c.Stream()
	log := slog.New(systemd.NewHandler(stream))
	tellNotes(cfg, log)
	return supervise(ctx, &daemon{base: cfg, log: log, lost: stream.Lost, hangUps: hangUps, controlAt: k.controlPath()})
}

// tellNotes tells what a configuration says that is not meant.
func tellNotes(cfg *config.Config, log *slog.Logger) {
	for _, n := range cfg.Notes {
		n.Excerpt = ""
		log.Warn("in the configuration: " + n.String())
	}
}

// supervise runs the gateway by the configuration that is to be in force, and
// starts its parts anew, within the process, when that is another one. An
// orderly stop of the parts costs no reading. every is what each
// of them begins as.
func supervise(ctx context.Context, every *daemon) error {
	base := every.base
	every.remote = remoteconfig.Open(filepath.Join(base.Store.Dir, configFile), every.log)
	for {
		// Each turn has parts of its own. Of the turn before only the manager of the
		// remote configuration is left, and what the store has on the card.
		d := new(daemon)
		*d = *every
		err := d.choose()
		if err == nil {
			err = d.start()
		}
		// A configuration from the cloud must not keep the gateway down: a trial is
		// rolled back, one that was confirmed is set aside, and the next turn begins
		// with what is left. That ends at the board's own files.
		if err != nil && d.cfg != base {
			d.remote.Failed(err)
			continue
		}
		// Those do not start either: there is nothing left to try.
		if err != nil {
			return err
		}
		// run has closed the store, also where it ends for another configuration: the
		// next turn finds an epoch that ended in order.
		if err := d.run(ctx); !errors.Is(err, remoteconfig.ErrRestart) || ctx.Err() != nil {
			return err
		}
	}
}
