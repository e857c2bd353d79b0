package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

// copyCmd is a step from one machine to a cluster.
type copyCmd struct {
	keyringFlags `embed:""`
}

// Run copies the credentials of a state directory to a cluster.
func (c copyCmd) Run(ctx context.Context, con cli.Console) error {
	if len(c.NATS) == 0 {
		return fmt.Errorf("%w: name the cluster with --nats", cli.ErrUsage)
	}
	if err := c.isState(); err != nil {
		return err
	}
	var n int
	err := c.with(ctx, func(credentials keyring.Credentials) (err error) {
		n, err = c.credentials().CopyTo(credentials)
		return err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("%d credentials were copied before this", n), err)
	}
	_, err = fmt.Fprintf(con.Out, "%d credentials copied\n", n)
	return err
}
