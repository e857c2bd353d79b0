package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

// copyLogCmd takes the log from one machine to a cluster, with the documents
// and the credentials.
type copyLogCmd struct {
	stateFlag       `embed:""`
	natsFlags       `embed:""`
	CredentialsOnly bool `help:"Copy the credentials alone: gateways keep their tokens, and the log stays behind."`
}

// Run copies the log of a server that is stopped. The log stays as it is.
func (c copyLogCmd) Run(ctx context.Context, con cli.Console) error {
	if len(c.NATS) == 0 {
		return fmt.Errorf("%w: --nats says where the log is to go", cli.ErrUsage)
	}
	to, err := c.natsFlags.options(c.State, nil)
	if err != nil {
		return err
	}
	if err := c.isState(); err != nil {
		return err
	}
	if c.CredentialsOnly {
		n, err := c.copyCredentials(ctx, to)
		if err != nil {
			return fmt.Errorf("%d credentials were copied, then: %w", n, err)
		}
		_, err = fmt.Fprintf(con.Out, "%d credentials copied\n", n)
		return err
	}
	release, err := keyring.LockState(c.State)
	if err != nil {
		return err
	}
	defer release()
	log := slog.New(slog.NewTextHandler(con.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	from, err := jetstream.Open(ctx, jetstream.Options{Dir: filepath.Join(c.State, "log"), Logger: log})
	if err != nil {
		return err
	}
	defer from.Close()
	copied, err := from.CopyTo(ctx, to)
	if err != nil {
		return fmt.Errorf("copy the log, which is as it was: %w", err)
	}
	gateways, err := c.copyCredentials(ctx, to)
	if err != nil {
		return err
	}
	fmt.Fprintf(con.Out, "copied and compared %d records and %d documents, and the credentials of %d gateways; "+
		"start the servers with --nats now\n",
		copied.Records, copied.Documents, gateways)
	return nil
}

// copyCredentials takes along what servers of a cluster share: who may connect.
func (c copyLogCmd) copyCredentials(ctx context.Context, to jetstream.Options) (int, error) {
	to.Logger = slog.New(slog.DiscardHandler)
	there, err := jetstream.Open(ctx, to)
	if err != nil {
		return 0, err
	}
	defer there.Close()
	return c.credentials().CopyTo(keyring.Credentials{KV: there})
}
