package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	capConfig    = "config" // in hello
	MaxConfirm   = 86400    // s
	desireWithin = 2 * time.Second
)

// A Desired is what a gateway is to run by, under the key cfg.<gateway>.
type Desired struct {
	Ver      uint64    `json:"ver"`  // counts up with every change
	Hash     string    `json:"hash"` // SHA-256 of Doc, in hex
	Doc      string    `json:"doc"`  // TOML
	ConfirmS int       `json:"confirm_s,omitempty"`
	At       time.Time `json:"at"`
}

// A Reported is what became of it, under the key rep.<gateway>.
type Reported struct {
	wire.Reported
	At time.Time `json:"at"` // when it was heard
}

// Desired gives what a gateway is to run by; nil: nobody ever said.
func (c Store) Desired(ctx context.Context, gatewayID string) (*Desired, uint64, error) {
	var d Desired
	rev, err := c.read(ctx, "cfg."+gatewayID, &d)
	if errors.Is(err, record.ErrNoDoc) {
		return nil, 0, nil
	}
	return &d, rev, err
}

// Reported gives what a gateway said last of a configuration; nil: it never did.
func (c Store) Reported(ctx context.Context, gatewayID string) (*Reported, error) {
	var r Reported
	_, err := c.read(ctx, "rep."+gatewayID, &r)
	if errors.Is(err, record.ErrNoDoc) {
		return nil, nil
	}
	return &r, err
}

func (c Store) read(ctx context.Context, key string, into any) (rev uint64, err error) {
	doc, err := c.Get(ctx, key)
	if err == nil {
		err = json.Unmarshal(doc.Body, into)
	}
	return doc.Rev, err
}

// desire makes a document what a gateway is to run by. The same document is
// the same version, unless it is to be tried again.
func (c Store) desire(ctx context.Context, gatewayID string, next Desired, again bool) (Desired, error) {
	for range revisionTries {
		before, rev, err := c.Desired(ctx, gatewayID)
		if err != nil {
			return next, err
		}
		next.Ver = 1
		if before != nil {
			if before.Hash == next.Hash && before.ConfirmS == next.ConfirmS && !again {
				return *before, nil
			}
			next.Ver = before.Ver + 1
		}
		body, err := json.Marshal(next)
		if err != nil {
			return next, fmt.Errorf("encode configuration: %w", err)
		}
		if _, err = c.Put(ctx, "cfg."+gatewayID, body, rev, 0); !errors.Is(err, record.ErrRevision) {
			return next, err
		}
	}
	return next, fmt.Errorf("keep configuration: %w", record.ErrRevision)
}

// Configure makes a document what a gateway is to run by, and brings it on its
// way.
func (c *Dispatcher) Configure(ctx context.Context, gatewayID string, next Desired, again bool) (Desired, error) {
	d, err := c.Store.desire(ctx, gatewayID, next, again)
	if err != nil {
		return d, err
	}
	if data, err := json.Marshal(wake{Config: true}); err == nil {
		_ = c.pubsub.Publish(subject(gatewayID), data) // a gateway that is away gets it when it comes
	}
	return d, nil
}

// noteReport keeps what a gateway says became of a configuration; of an older
// version it says nothing new.
func (c Store) noteReport(ctx context.Context, gatewayID string, r *wire.Reported) error {
	before, err := c.Reported(ctx, gatewayID)
	if err != nil || before != nil && before.Ver > r.Ver {
		return err
	}
	body, err := json.Marshal(Reported{*r, time.Now().UTC().Truncate(time.Millisecond)})
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	_, err = c.Put(ctx, "rep."+gatewayID, body, record.AnyRev, 0)
	return err
}

// ConfigState is what welcome says of the configuration; nil where the KV
// does not tell in time: then a later session does.
func (c *Dispatcher) ConfigState(ctx context.Context, x Session) *wire.ConfigState {
	if !slices.Contains(x.Hello().Caps, capConfig) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, desireWithin)
	defer cancel()
	d, _, err := c.Store.Desired(ctx, x.GatewayID())
	if err != nil || d == nil {
		return nil
	}
	return &wire.ConfigState{Ver: d.Ver, Hash: d.Hash}
}

// sendConfig sends a gateway what it is to run by, if that is another than it
// said in hello or reported since, and it has not refused this version.
func (c *Dispatcher) sendConfig(ctx context.Context, l *sessionState) {
	if !slices.Contains(l.Hello().Caps, capConfig) {
		return
	}
	d, _, err := c.Store.Desired(ctx, l.GatewayID())
	var r *Reported
	if err == nil && d != nil {
		r, err = c.Store.Reported(ctx, l.GatewayID())
	}
	switch {
	case err != nil && ctx.Err() == nil:
		l.Log().Error("cannot read what this gateway is to run by; the next session will", "error", err)
		return
	case err != nil, d == nil, r != nil && r.Ver == d.Ver && r.Hash == d.Hash && r.State != string(gateway.ConfigApplied):
		return
	}
	if in := l.Hello().Cfg; in != nil && in.Hash == d.Hash && r != nil && r.Ver == d.Ver {
		return
	}
	if err := l.Send(&wire.Config{Ver: d.Ver, Hash: d.Hash, Doc: d.Doc, ConfirmS: d.ConfirmS}); err != nil && ctx.Err() == nil {
		l.Log().Warn("cannot send the configuration", "error", err)
	}
}

// reported takes what a gateway says of a configuration.
func (c *Dispatcher) reported(x Session, r *wire.Reported) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	x.Remark(slog.LevelInfo, "configuration "+r.State, "version", r.Ver, "errors", len(r.Errors))
	if err := c.Store.noteReport(ctx, x.GatewayID(), r); err != nil {
		x.Log().Warn("cannot keep what became of a configuration", "version", r.Ver, "error", err)
	}
}
