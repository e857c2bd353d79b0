package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

// gatewayCmd works on the state directory alone: a running server reads the
// credentials at every connection.
type gatewayCmd struct {
	Add    addCmd    `cmd:"" help:"Add a gateway and print its token, once."`
	List   listCmd   `cmd:"" help:"List the gateways."`
	Remove removeCmd `cmd:"" help:"Remove a gateway. It is disconnected within seconds. Its readings stay."`
}

// stateFlag names the state directory.
type stateFlag struct {
	State string `required:"" type:"path" placeholder:"DIR" help:"State directory of the server."`
}

// isState says what is wrong with the state directory: a server has made its
// lock there, or gateway add the folder of the credentials.
func (s stateFlag) isState() error {
	for _, made := range []string{"lock", "gateways"} {
		_, err := os.Stat(filepath.Join(s.State, made))
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look into the state directory: %w", err)
		}
	}
	return fmt.Errorf("%s is no state directory of a server: look for a mistake in --state; "+
		"fieldgate-cloud run and gateway add make a new one", s.State)
}

func (s stateFlag) credentials() keyring.Credentials {
	return keyring.Credentials{Dir: filepath.Join(s.State, "gateways")}
}

// keyringFlags say where credentials lie: where the log does.
type keyringFlags struct {
	stateFlag `embed:""`
	natsFlags `embed:""`
}

// with does something with the credentials. A state directory must be there:
// one that is misspelt would look like a server without gateways.
func (f keyringFlags) with(ctx context.Context, do func(keyring.Credentials) error) error {
	if len(f.NATS) == 0 {
		if err := f.isState(); err != nil {
			return err
		}
		return do(f.credentials())
	}
	where, err := f.options(f.State, nil)
	if err != nil {
		return err
	}
	where.Logger = slog.New(slog.DiscardHandler)
	records, err := jetstream.Open(ctx, where)
	if err != nil {
		return err
	}
	defer records.Close()
	return do(keyring.Credentials{KV: records})
}

type addCmd struct {
	keyringFlags `embed:""`
	ID           string `arg:"" help:"gateway_id: 1 to 64 of A-Z a-z 0-9 _ -."`
}

// Run prints nothing but the token on stdout, so that it can be piped.
func (c addCmd) Run(ctx context.Context, con cli.Console) error {
	if !gateway.ValidID(c.ID) {
		return fmt.Errorf("%w: gateway id %q: want 1 to 64 of A-Z a-z 0-9 _ -", cli.ErrUsage, c.ID)
	}
	if len(c.NATS) == 0 { // the first gateway may come before the server's first start
		err := errors.Join(os.MkdirAll(c.State, 0o755), os.MkdirAll(filepath.Join(c.State, "gateways"), 0o700))
		if err != nil {
			return fmt.Errorf("make the state directory: %w", err)
		}
	}
	err := c.with(ctx, func(credentials keyring.Credentials) error {
		token, err := credentials.Add(c.ID)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(con.Out, token)
		return errors.Join(err, note(credentials, "gateway_added", c.ID, "a gateway was added on the command line"))
	})
	if errors.Is(err, keyring.ErrGatewayExists) {
		return fmt.Errorf("%w; its token cannot be shown again: remove it first to get a new one", err)
	}
	return err
}

type removeCmd struct {
	keyringFlags `embed:""`
	ID           string `arg:"" help:"gateway_id."`
}

// Run takes the credential away.
func (c removeCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(credentials keyring.Credentials) error {
		if err := credentials.Remove(c.ID); err != nil {
			return err
		}
		return note(credentials, "gateway_removed", c.ID, "a gateway was removed on the command line")
	})
}

type listCmd struct {
	keyringFlags `embed:""`
	JSON         bool `help:"Print JSON."`
}

// Run lists ids and when they were added.
func (c listCmd) Run(ctx context.Context, con cli.Console) error {
	var list []keyring.Credential
	err := c.with(ctx, func(credentials keyring.Credentials) (err error) {
		list, err = credentials.List()
		return err
	})
	if err != nil {
		return err
	}
	type row struct {
		ID    string    `json:"gateway_id"`
		Added time.Time `json:"added"`
	}
	rows := []row{}
	for _, g := range list {
		rows = append(rows, row{g.ID, g.Added})
	}
	if c.JSON {
		return json.NewEncoder(con.Out).Encode(rows)
	}
	w := tabwriter.NewWriter(con.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "GATEWAY\tADDED")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\n", r.ID, r.Added.Format(time.RFC3339))
	}
	return w.Flush()
}
