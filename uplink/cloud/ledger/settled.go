package ledger

import (
	"context"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// Settled gives, for one session, what the ledger knows of an epoch that ended
// and is proved: the state may forget it. It is false of all others, and of
// those that the log has lost since.
func Settled(log record.Log, kv record.KV) func(context.Context, string, gateway.EpochID) (record.EpochState, bool, error) {
	compared, intact := false, false // the ledger is not kept: sessions are many, and long
	return func(ctx context.Context, gatewayID string, e gateway.EpochID) (record.EpochState, bool, error) {
		none := record.EpochState{ID: e, End: record.EndNone}
		b := newGateway(gatewayID, log, kv)
		if !compared {
			err := b.load(ctx)
			if err == nil {
				intact, err = b.intact(ctx)
			}
			if err != nil {
				return none, false, err
			}
			compared = true
		}
		var a account
		found, err := b.read(ctx, b.accountKey(e), &a)
		if err != nil || !found || !a.Settled || a.LogLost != nil {
			return none, false, err
		}
		if !intact {
			if there, err := b.holds(ctx, &a); err != nil || !there {
				return none, false, err
			}
		}
		return record.EpochState{ID: e, Upto: a.Upto, End: a.End, Sum: a.sum()}, true, nil
	}
}

// holds tells whether a log that has lost records still has the newest of this
// epoch, or purged it because it was old.
func (b *Gateway) holds(ctx context.Context, a *account) (bool, error) {
	if a.Seq == 0 {
		return true, nil // of a line of the chain before this one, and not lost when that ended
	}
	for r, err := range b.log.Read(ctx, b.ID, a.Seq) {
		if err != nil {
			return false, err
		}
		if r.Seq == a.Seq {
			return r.Epoch == a.Epoch && r.First+r.N-1 == a.Upto, nil
		}
		break
	}
	for r, err := range b.log.Read(ctx, b.ID, 0) {
		return err == nil && r.Seq > a.Seq, err
	}
	return false, nil
}

// sum tells one open gap from another, as in a state.
func (a *account) sum() uint32 {
	if a.End != record.EndOpen || a.Open == nil {
		return 0
	}
	return a.Open.Sum
}
