package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/systemd"
)

const (
	demoID    = "demo"
	tellEvery = 2 * time.Second // how often the waiting readings are told while the uplink is cut
)

type demoCommand struct {
	Listen      string        `default:"127.0.0.1:8080" help:"Address of the page."`
	CloudListen string        `default:"127.0.0.1:8443" help:"Address of the cloud."`
	Outage      time.Duration `placeholder:"AGE" help:"First fill the store with the readings of an outage of this length, 20 channels at 1 Hz. Then connect and show how they are delivered. Without it: start empty."`
	State       string        `placeholder:"DIR" help:"Folder for everything that the demo keeps. Without it: a temporary one, removed at the end."`
}

// Run runs a gateway and a cloud until ctx is done.
func (k demoCommand) Run(ctx context.Context, c cli.Console) error {
	ctx, closed := context.WithCancel(ctx)
	defer closed()
	hangUps := takeHangUps(ctx, os.Stdin, closed)
	dir, remove, err := k.stateDir()
	if err != nil {
		return err
	}
	defer remove()
	show := newScreen(c)
	defer show.end()
	c.Out = show
	log := slog.New(systemd.NewTerminalHandler(show.log()))
	cloud := &demoCloud{program: cloudProgram(), state: filepath.Join(dir, "cloud"), listen: k.CloudListen, log: log}
	token := filepath.Join(dir, "demo.token")
	if err := cloud.enrol(token); err != nil {
		return err
	}
	if err := cloud.start(ctx); err != nil {
		return err
	}
	defer cloud.stop()
	cfg, err := k.config(dir, token, cloud.ca())
	if err != nil {
		return err
	}
	if k.Outage > 0 {
		if err := fillOutage(ctx, cfg, k.Outage, c); err != nil {
			return err
		}
	}
	line := &breaker{}
	d := &daemon{cfg: cfg, dial: line.dial, scene: cellar, log: log, lost: show.err.Lost, hangUps: hangUps,
		controlAt: filepath.Join(dir, "control.sock")}
	if err := d.start(); err != nil {
		return err
	}
	k.greet(c, d, cloud)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go cloud.watch(cancel)
	go k.switchUplink(ctx, &demoLine{line, d, cloud, c.Out})
	if k.Outage > 0 {
		go showDrain(ctx, d, cloud, c)
	}
	if err := d.run(ctx); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (k demoCommand) stateDir() (dir string, remove func(), err error) {
	if k.State != "" {
		if err := os.MkdirAll(k.State, 0o700); err != nil {
			return "", nil, fmt.Errorf("make the folder of --state: %w", err)
		}
		dir, err = filepath.Abs(k.State)
		return dir, func() {}, err
	}
	dir, err = os.MkdirTemp("", "fieldgate-demo-")
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// config writes the demo's configuration into its folder and reads it the way
// every configuration is read.
func (k demoCommand) config(dir, token, ca string) (*config.Config, error) {
	host, port, err := net.SplitHostPort(k.CloudListen)
	if err != nil {
		return nil, fmt.Errorf("--cloud-listen: %w", err)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	text := fmt.Sprintf(demoConfig, demoID, net.JoinHostPort(host, port), token, ca, filepath.Join(dir, "gateway"), k.Listen)
	path := filepath.Join(dir, "fieldgate.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's configuration: %w", err)
	}
	return config.Load(path, builtin.Drivers())
}

// greet says where everything is.
func (k demoCommand) greet(c cli.Console, d *daemon, cloud *demoCloud) {
	fmt.Fprintf(c.Out, `
  dashboard   http://%s/
  cloud       https://%s/   what it holds of this gateway, one line per reading:
              curl --cacert %s -H "Authorization: Bearer $(cat %s)" https://%s/v1/gateways/%s/readings
  terminal    %s status --control %s

  u           cuts the uplink, and restores it: watch the buffer grow and drain   (or: kill -USR1 %d)
  Ctrl-C      ends the demo

`, d.local.Addr(), k.CloudListen, cloud.ca(), filepath.Join(cloud.state, "operator.token"), k.CloudListen, demoID, os.Args[0], d.controlAt, os.Getpid())
}
