package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud"
)

// tokenCmd is about one-time tokens, which a gateway exchanges for its
// credential: see fieldgate enroll.
type tokenCmd struct {
	Add tokenAddCmd `cmd:"" help:"Print a one-time token with which a gateway enrols; also for one that has a credential: that ends when the new one is used."`
}

type tokenAddCmd struct {
	keyringFlags `embed:""`
	ID           string        `arg:"" help:"gateway_id: 1 to 64 of A-Z a-z 0-9 _ -."`
	TTL          time.Duration `name:"ttl" default:"24h" placeholder:"DURATION" help:"How long it may be used."`
}

// Run prints nothing but the token on stdout, so that it can be piped.
func (c tokenAddCmd) Run(ctx context.Context, out *output) error {
	if !gateway.ValidID(c.ID) {
		return fmt.Errorf("%w: gateway id %q: want 1 to 64 of A-Z a-z 0-9 _ -", errUsage, c.ID)
	}
	if c.TTL < time.Minute || c.TTL > 30*24*time.Hour {
		return fmt.Errorf("%w: --ttl %v: want 1m to 720h", errUsage, c.TTL)
	}
	return c.with(ctx, func(keyring cloud.Credentials) error {
		token, err := keyring.AddOnce(c.ID, c.TTL)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out.stdout, token)
		return errors.Join(err, note(keyring, "token_made", c.ID, "a one-time token was made on the command line"))
	})
}
