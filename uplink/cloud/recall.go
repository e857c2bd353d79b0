package cloud

import (
	"context"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The state knows the epochs of now, the ledger those of ever: an epoch that
// ended, and of which a later record proves that, leaves the state when a
// session opens (PROTOCOL 2.4 rule 8), and comes back into it from the ledger
// when the gateway names it again (rules 6 and 12).

const (
	keepFinished = 16              // epochs that ended and hello does not name, before the ledger is asked
	forgetAtOnce = 64              // of them when a session opens
	recallWithin = 5 * time.Second // when an update names an epoch that the state does not know
	recallAgain  = 5 * time.Second // until the gateway sends it again if the ledger did not answer
)

// nackStorage refuses an update for now: what decides cannot be read.
const nackStorage wire.NackCode = "storage"

// A recall gives what the ledger knows of an epoch that ended and is proved;
// false of all others.
type recall func(ctx context.Context, gatewayID string, e gateway.EpochID) (record.EpochState, bool, error)

// recalled is the state with what the ledger knows of epochs that hello names,
// and without those that only the ledger needs to know.
func (c *chain) recalled(ctx context.Context, s record.State, h *wire.Hello) (record.State, error) {
	named := make(map[gateway.EpochID]bool, len(h.Epochs))
	for _, he := range h.Epochs {
		named[he.Epoch] = true
		// The state comes from the newest record of the log: it is never behind.
		if s.Knows(he.Epoch) {
			continue
		}
		e, ok, err := c.recall(ctx, c.gatewayID, he.Epoch)
		if err != nil {
			return s, err
		}
		if ok {
			s = s.With(e)
		}
	}
	return c.forget(ctx, s, named)
}

// forget takes epochs out of the state that the ledger has for good.
func (c *chain) forget(ctx context.Context, s record.State, named map[gateway.EpochID]bool) (record.State, error) {
	finished := 0
	for _, e := range s.Epochs {
		if e.Done() && !named[e.ID] {
			finished++
		}
	}
	// Only when there are many: a few cost less than the questions. And only some at
	// a time, because a gateway waits for its welcome.
	asked, kept := 0, make([]record.EpochState, 0, len(s.Epochs))
	for _, e := range s.Epochs {
		if !e.Done() || named[e.ID] || finished <= keepFinished || asked == forgetAtOnce {
			kept = append(kept, e)
			continue
		}
		asked++
		known, ok, err := c.recall(ctx, c.gatewayID, e.ID)
		if err != nil {
			return s, err
		}
		// It is forgotten here only where the ledger has the very same for good.
		if !ok || known.Upto != e.Upto || known.End != e.End {
			kept = append(kept, e) // the ledger is behind
			continue
		}
		finished--
	}
	s.Epochs = kept
	return s, nil
}

// meet takes an epoch into the state that an update names and the state does
// not know. It is false if the ledger does not answer.
func (x *session) meet(e gateway.EpochID) bool {
	if x.state.Knows(e) {
		return true
	}
	// On the storing goroutine: what comes behind it waits, up to this bound.
	ctx, cancel := context.WithTimeout(x.ctx, recallWithin)
	defer cancel()
	known, ok, err := x.chain.recall(ctx, x.gatewayID, e)
	if err != nil {
		x.log.Warn("the ledger cannot be asked about an epoch; the gateway sends it again later", "epoch", e, "error", err)
		return false
	}
	if ok {
		x.state = x.state.With(known)
	}
	return true
}
