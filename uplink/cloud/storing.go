package cloud

import (
	"log/slog"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// errManyEpochs ends a session whose state is as large as a record can carry.
// Opening the next one makes it small.
var errManyEpochs = &closing{websocket.CloseTryAgainLater, `{"after":5}`}

// storeQueued is the storing goroutine: it stores what waits, one after the
// other, until nothing waits. After the session's end it finishes the append
// under way and drops the rest, which is not acknowledged.
func (x *session) storeQueued() {
	for {
		it, ok := x.intake.next()
		switch {
		// It has no ack, so the gateway sends it again in its next session.
		case ok && x.ctx.Err() != nil:
			continue
		case ok:
			x.must(x.storeItem(it))
			if x.pending.due() {
				x.must(x.flushAcks())
			}
			continue
		}
		// Nothing waits. The acks go now, not when half a window is full: a gateway that
		// sends one reading a second would wait long for them.
		x.must(x.flushAcks())
		if x.intake.rest() {
			return
		}
	}
}

// must ends the session if something failed.
func (x *session) must(err error) {
	if err != nil {
		x.stop(err)
	}
}

// storeItem stores one update or event, or says why not.
func (x *session) storeItem(it item) error {
	switch m := it.m.(type) {
	case *wire.Update:
		return x.storeUpdate(it, m)
	case *wire.Event:
		return x.storeEvent(it, m)
	case *wire.Bare:
		return x.storeBare(it, m)
	}
	return nil // nothing else is queued
}

func (x *session) storeUpdate(it item, u *wire.Update) error {
	if len(x.state.Epochs) >= record.MaxSessionEpochs && !x.state.Knows(u.Epoch) {
		x.remark(slog.LevelWarn, "the gateway names more epochs than one session takes; it is asked to connect anew", "epochs",
			len(x.state.Epochs))
		// What is stored is acknowledged before the session ends.
		x.must(x.flushAcks())
		return errManyEpochs
	}
	if !x.meet(u.Epoch) {
		return x.nack(it, &wire.Nack{Epoch: u.Epoch, First: u.First, N: u.N, Code: nackStorage, Retry: true, AfterMS: recallAgain.Milliseconds()})
	}
	before := x.state.Get(u.Epoch)
	// By names alone, before a block is decoded: what came before costs little.
	what, after := x.state.Judge(u)
	switch what {
	case record.Refuse:
		return x.nack(it, &wire.Nack{Epoch: u.Epoch, First: u.First, N: u.N, Code: wire.NackSeq, Retry: true, Expected: before.Upto + 1})
	case record.Final: // cannot be: an epoch that ended orderly has no more readings
		x.remark(slog.LevelError, "update behind the orderly end of its epoch", "epoch", u.Epoch, "first", u.First, "end", before.Upto)
		return x.nack(it, &wire.Nack{Epoch: u.Epoch, First: u.First, N: u.N, Code: wire.NackSeq, Expected: before.Upto + 1})
	case record.Store:
		// What is stored can be read by all who come later: so it is decoded once here.
		// If the server dies before the log has it, nothing has happened; if it dies
		// later, the gateway sends the same again, and the verdict is Repeat.
		body, f := x.checked(&it, &u)
		if f != nil {
			x.remark(slog.LevelWarn, "update refused", "epoch", u.Epoch, "first", u.First, "n", u.N, "error", f)
			return x.nack(it, &wire.Nack{Epoch: u.Epoch, First: u.First, N: u.N, Code: f.code})
		}
		r := record.Record{
			Kind: kindOf(u), State: x.state.With(after).String(), Epoch: u.Epoch,
			First: before.Upto + 1, N: after.Upto - before.Upto, Lane: u.Lane, Body: body,
		}
		if err := x.store(r, u); err != nil {
			return err
		}
	}
	// The state moves only now: an append that failed has changed nothing.
	x.state = x.state.With(after)
	x.counted(it, u, what, after.Upto-before.Upto)
	x.pending.add(it)
	x.pending.addEpoch(u.Epoch)
	return nil
}

// counted counts an update of which n names were new.
func (x *session) counted(it item, u *wire.Update, what record.Verdict, n uint64) {
	f := x.server.metrics
	switch {
	case what == record.Repeat:
		f.duplicates.Inc()
	case u.Gap != nil:
		f.gap(u.Gap.Why, n)
		n = 0
	case u.Thinned != nil:
		n = 0
	}
	f.countItem(x, it, n)
}

// checked gives the envelope of an update as the log holds it, in CBOR and
// with blocks in the place of rows, if all that it carries can be read.
func (x *session) checked(it *item, u **wire.Update) ([]byte, *flaw) {
	blocks, f := asBlocks(*u)
	if f != nil {
		return nil, f
	}
	*u = blocks
	if f := checkBlocks(blocks, time.Now()); f != nil {
		return nil, f
	}
	body, err := x.envelope(it, blocks)
	if err != nil {
		return nil, &flaw{wire.NackBlock, err}
	}
	return body, nil
}

// envelope gives m in CBOR: as it came, if it came so.
func (x *session) envelope(it *item, m wire.Message) ([]byte, error) {
	if x.codec == wire.CBOR {
		return it.raw, nil
	}
	return wire.Encode(m)
}

func kindOf(u *wire.Update) record.Kind {
	switch {
	case u.Gap != nil:
		return record.KindGap
	case u.Thinned != nil:
		return record.KindThinned
	}
	return record.KindUpdate
}

// storeEvent stores an event once. The ack names it: so the gateway, which
// knows in which order it sent them, knows what is held.
func (x *session) storeEvent(it item, e *wire.Event) error {
	if !x.state.HoldsEvent(e.Epoch, e.Seq) {
		body, err := x.envelope(&it, e)
		if err != nil {
			return err
		}
		// The mark of the event goes into the same record: if the server dies behind the
		// append, the next state has it, and the event is not stored twice.
		after := x.state.WithEvent(e.Epoch, e.Seq)
		r := record.Record{Kind: record.KindEvent, State: after.String(), Epoch: e.Epoch, First: e.Seq, Body: body}
		if err := x.store(r, e); err != nil {
			return err
		}
		x.state = after
	}
	x.server.metrics.countItem(x, it, 0)
	x.pending.add(it)
	x.pending.event = &wire.EventAck{Epoch: e.Epoch, Upto: e.Seq}
	return nil
}

// store appends a record to the chain and tells those who wait for it.
func (x *session) store(r record.Record, m wire.Message) error {
	stored, err := x.chain.append(x.ctx, r)
	if err != nil {
		return err
	}
	// Screens and commands hear of it before the ack leaves. If the server dies in
	// between, they never do: what must be complete reads the log.
	x.server.notifyStored(x, stored, m)
	return x.paceBy(x.chain.took)
}
