package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
)

// natsFlags say where the log lies: without --nats in the state directory.
type natsFlags struct {
	NATS     []string `name:"nats" placeholder:"URL" sep:"," help:"Keep the log on this cluster of nats-server 2.11 or newer with JetStream, not in the state directory. May be repeated: one server of it is enough, more are tried in turn. Without it: in the state directory."`
	Creds    string   `name:"nats-creds" type:"path" placeholder:"FILE" help:"Credentials for --nats. Without it: none are shown."`
	CA       string   `name:"nats-ca" type:"path" placeholder:"FILE" help:"CA that certificates of --nats must lead to, PEM. Without it the system's."`
	Replicas int      `name:"nats-replicas" placeholder:"N" help:"Copies of the log on --nats: 3 or 5 of a cluster, 1 of a single server. Without it new streams get 3, others stay as they are."`
}

// options gives how to open the log; interrupted is told when that breaks off.
func (f natsFlags) options(state string, interrupted func(error)) (jetstream.Options, error) {
	if len(f.NATS) == 0 {
		if f.Creds != "" || f.CA != "" || f.Replicas != 0 {
			return jetstream.Options{}, fmt.Errorf("%w: --nats-creds, --nats-ca and --nats-replicas need --nats", cli.ErrUsage)
		}
		return jetstream.Options{Dir: filepath.Join(state, "log")}, nil
	}
	if f.Replicas < 0 || f.Replicas > 5 {
		return jetstream.Options{}, fmt.Errorf("%w: --nats-replicas %d: want 1 to 5", cli.ErrUsage, f.Replicas)
	}
	return jetstream.Options{
		URL: strings.Join(f.NATS, ","), Creds: f.Creds, CA: f.CA, Replicas: f.Replicas, Interrupted: interrupted,
	}, nil
}
