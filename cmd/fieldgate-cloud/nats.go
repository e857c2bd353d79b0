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
	NATS     []string `name:"nats" placeholder:"URL" sep:"," help:"Cluster of nats-server 2.11 or newer, with JetStream, that holds the log. One server of it is enough; more are tried in turn. Without it: the log is in the state directory."`
	Creds    string   `name:"nats-creds" type:"path" placeholder:"FILE" help:"Credentials for --nats. Without it: none."`
	CA       string   `name:"nats-ca" type:"path" placeholder:"FILE" help:"Authority that signed the certificates of --nats, PEM. Without it: the authorities of the system."`
	Replicas int      `name:"nats-replicas" placeholder:"N" help:"Copies of the log on --nats: 3 or 5 on a cluster, 1 on a single server. Without it: 3 for a new log; an old one stays as it is."`
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
