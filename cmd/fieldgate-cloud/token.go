package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

// tokenCmd is about one-time tokens, which a gateway exchanges for its
// credential: see fieldgate enroll.
type tokenCmd struct {
	Add tokenAddCmd `cmd:"" help:"Print a one-time token with which a gateway enrolls. If it has a credential, that ends when the new one is used."`
}

type tokenAddCmd struct {
	keyringFlags `embed:""`
	ID           string        `arg:"" help:"gateway_id: 1 to 64 of A-Z a-z 0-9 _ -."`
	New          bool          `help:"For a gateway that has no credential yet. Without it, an id that is not known is refused as a mistake."`
	TTL          time.Duration `name:"ttl" default:"24h" placeholder:"DURATION" help:"How long the token is valid."`
}

// known makes sure that the gateway is one, or is meant to become one.
func (c tokenAddCmd) known(credentials keyring.Credentials) error {
	if c.New {
		return nil
	}
	list, err := credentials.List()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(g keyring.Credential) bool { return g.ID == c.ID }) {
		return fmt.Errorf("there is no gateway %s: look for a mistake in the id, or give --new if it comes for the first time", c.ID)
	}
	return nil
}

// Run prints nothing but the token on stdout, so that it can be piped.
func (c tokenAddCmd) Run(ctx context.Context, con cli.Console) error {
	if !gateway.ValidID(c.ID) {
		return fmt.Errorf("%w: gateway id %q: want 1 to 64 of A-Z a-z 0-9 _ -", cli.ErrUsage, c.ID)
	}
	if c.TTL < time.Minute || c.TTL > 30*24*time.Hour {
		return fmt.Errorf("%w: --ttl %v: want 1m to 720h", cli.ErrUsage, c.TTL)
	}
	return c.with(ctx, func(credentials keyring.Credentials) error {
		if err := c.known(credentials); err != nil {
			return err
		}
		token, err := credentials.AddOnce(c.ID, c.TTL)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(con.Out, token)
		return errors.Join(err, note(credentials, "token_made", c.ID, "a one-time token was made on the command line"))
	})
}
