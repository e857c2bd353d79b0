package cloud

import (
	"time"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

// trouble tells both sides that the log takes nothing for now (err), or that
// it does again (nil). The gateway keeps what is not acknowledged.
func (x *session) trouble(err error) {
	if err == nil {
		x.log.Info("the log takes records again")
		return
	}
	x.log.Error("the log does not take records; nothing is acknowledged until it does", "error", err)
	_ = x.send(&wire.Error{Code: "storage", Message: "the cloud cannot store readings at the moment; keep them"})
}

// storeUpdates is the storing goroutine. After the session's end it finishes
// the append under way and drops the rest, which is not acknowledged.
func (x *session) storeUpdates() {
	for u := range x.updates {
		if x.ctx.Err() != nil {
			continue
		}
		if err := x.take(u); err != nil {
			x.stop(err)
		}
	}
}

// take stores one update and acknowledges it, or says why not.
func (x *session) take(u update) error {
	before := x.state.get(u.Epoch)
	what, after := x.state.judge(u.Update)
	switch what {
	case refuse:
		return x.send(&wire.Nack{Epoch: u.Epoch, First: u.First, N: u.N, Code: wire.NackSeq, Retry: true, Expected: before.upto + 1})
	case final: // cannot be: an epoch that ended orderly has no more readings
		x.log.Error("update behind the orderly end of its epoch", "epoch", u.Epoch, "first", u.First, "end", before.upto)
		return x.send(&wire.Nack{Epoch: u.Epoch, First: u.First, N: u.N, Code: wire.NackSeq, Expected: before.upto + 1})
	case store:
		if f := checkBlocks(u.Update, time.Now()); f != nil {
			x.log.Warn("update refused", "epoch", u.Epoch, "first", u.First, "n", u.N, "error", f)
			return x.send(&wire.Nack{Epoch: u.Epoch, First: u.First, N: u.N, Code: f.code})
		}
		r := Record{
			Kind: KindUpdate, State: x.state.with(after).String(), Epoch: u.Epoch,
			First: before.upto + 1, N: after.upto - before.upto, Lane: u.Lane, Body: u.raw,
		}
		if u.Gap != nil {
			r.Kind = KindGap
		}
		if u.Thinned != nil {
			r.Kind = KindThinned
		}
		stored, err := x.chain.append(x.ctx, r)
		if err != nil {
			return err
		}
		x.server.tellStored(x, stored, u.Update)
	}
	// The state moves only now: an append that failed has changed nothing.
	x.state = x.state.with(after)
	return x.send(&wire.Ack{Epochs: []wire.EpochAck{after.ack()}})
}
