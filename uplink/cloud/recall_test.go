package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// settledIn writes into the ledger that an epoch ended and is proved.
func settledIn(t *testing.T, kv *cloudtest.KV, e record.EpochState) {
	t.Helper()
	a := map[string]any{"epoch": e.ID, "upto": e.Upto, "end": e.End, "settled": true}
	body, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "ledger.g."+e.ID.String(), body, record.AnyRev, 0); err != nil {
		t.Fatal(err)
	}
}

// TestLedgerAnswersForTheState: an epoch that has left the state is known all
// the same, when hello names it and when only an update does.
func TestLedgerAnswersForTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv, l := &cloudtest.KV{}, &cloudtest.Log{}
		old := record.EpochState{ID: gateway.NewEpochID(), Upto: 40, End: record.EndClosed}
		older := record.EpochState{ID: gateway.NewEpochID(), Upto: 7, End: record.EndClosed}
		settledIn(t, kv, old)
		settledIn(t, kv, older)
		_, dial := piped(t, Options{Log: l, KV: kv})
		conn := dial()
		say(t, conn, &wire.Hello{GatewayID: "g", Epochs: []wire.HelloEpoch{{Epoch: old.ID, Oldest: 1, Last: 40},
			{Epoch: gateway.NewEpochID(), Oldest: 1}}})
		w := hear[*wire.Welcome](t, conn)
		if w.Epochs[0] != old.Ack() || w.Epochs[1].Upto != 0 {
			t.Errorf("welcomed with %+v", w.Epochs)
		}
		records := len(l.Records)
		say(t, conn, lost(wire.LaneBacklog, older.ID, 1, 7))
		if a := hear[*wire.Ack](t, conn); a.Epochs[0] != older.Ack() || len(l.Records) != records {
			t.Errorf("ack %+v, %d more records", a, len(l.Records)-records)
		}
	})
}

// A deafKV does not answer.
type deafKV struct{ record.KV }

func (deafKV) Get(context.Context, string) (record.Doc, error) {
	return record.Doc{}, errors.New("no answer")
}

// TestLedgerThatDoesNotAnswer: what cannot be decided is not stored.
func TestLedgerThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		_, dial := piped(t, Options{Log: l, KV: deafKV{&cloudtest.KV{}}})
		conn := dial()
		say(t, conn, &wire.Hello{GatewayID: "g"}) // names nothing: nothing to ask
		hear[*wire.Welcome](t, conn)
		say(t, conn, lost(wire.LaneLive, gateway.NewEpochID(), 1, 7))
		if n := hear[*wire.Nack](t, conn); n.Code != nackStorage || !n.Retry || n.AfterMS == 0 || len(l.Records) != 1 {
			t.Errorf("nack %+v, %d records", n, len(l.Records))
		}
		conn = dial()
		say(t, conn, &wire.Hello{GatewayID: "g", Epochs: []wire.HelloEpoch{{Epoch: gateway.NewEpochID(), Oldest: 1}}})
		if code, _ := closeCode(t, conn); code != websocket.CloseTryAgainLater {
			t.Errorf("closed with %d", code)
		}
	})
}

// TestStateForgetsWhatTheLedgerHas: what ended and is in the ledger for good
// leaves the state, unless hello names it; the rest stays.
func TestStateForgetsWhatTheLedgerHas(t *testing.T) {
	kv := &cloudtest.KV{}
	s := inMemory(Options{KV: kv})
	t.Cleanup(s.Close)
	c := &chain{gatewayID: "g", recall: ledger.Settled(s.opt.Log, s.opt.KV)}
	var held record.State
	for i := range 3 * keepFinished {
		e := record.EpochState{ID: gateway.NewEpochID(), Upto: uint64(i), End: record.EndClosed}
		held = held.With(e)
		if i%2 == 0 {
			settledIn(t, kv, e)
		}
	}
	behind := record.EpochState{ID: gateway.NewEpochID(), Upto: 5, End: record.EndOpen}
	settledIn(t, kv, record.EpochState{ID: behind.ID, Upto: 4, End: record.EndOpen})
	growing := record.EpochState{ID: gateway.NewEpochID(), Upto: 5, End: record.EndNone}
	held = held.With(behind).With(growing)
	named := held.Epochs[0].ID
	got, err := c.recalled(t.Context(), held, &wire.Hello{Epochs: []wire.HelloEpoch{{Epoch: named}}})
	if err != nil {
		t.Fatal(err)
	}
	if !got.Knows(named) || !got.Knows(behind.ID) || !got.Knows(growing.ID) {
		t.Errorf("the state forgot what it needs: %s", got)
	}
	if n := len(held.Epochs) - len(got.Epochs); n != 3*keepFinished/2-1 {
		t.Errorf("%d epochs were forgotten, want all that the ledger has but the named one", n)
	}
	few := record.State{Epochs: held.Epochs[:keepFinished]}
	if got, err := c.recalled(t.Context(), few, &wire.Hello{}); err != nil || len(got.Epochs) != keepFinished {
		t.Errorf("of few epochs some were forgotten: %v, %v", got, err)
	}
}

// TestStateForgetsNoMoreThanItMust: so many that ended stay at hand, of which
// the ledger would have to be asked, and it is asked about few at a time; what
// it says of an end must be that end.
func TestStateForgetsNoMoreThanItMust(t *testing.T) {
	var asked int
	c := newChain(nil)
	var held record.State
	for i := range 3 * forgetAtOnce {
		held = held.With(record.EpochState{ID: gateway.NewEpochID(), Upto: uint64(i), End: record.EndClosed})
	}
	end := func(e record.EpochState) record.Ending { return e.End }
	c.recall = func(_ context.Context, _ string, id gateway.EpochID) (record.EpochState, bool, error) {
		asked++
		e := held.Get(id)
		e.End = end(e)
		return e, true, nil
	}
	got, err := c.recalled(t.Context(), held, &wire.Hello{})
	if err != nil || asked != forgetAtOnce || len(got.Epochs) != 2*forgetAtOnce {
		t.Errorf("asked %d times, %d are left, %v", asked, len(got.Epochs), err)
	}
	few := record.State{Epochs: held.Epochs[:keepFinished+5]}
	if got, err = c.recalled(t.Context(), few, &wire.Hello{}); err != nil || len(got.Epochs) != keepFinished {
		t.Errorf("of %d %d are left, %v", len(few.Epochs), len(got.Epochs), err)
	}
	end = func(record.EpochState) record.Ending { return record.EndOpen }
	if got, err = c.recalled(t.Context(), few, &wire.Hello{}); err != nil || len(got.Epochs) != len(few.Epochs) {
		t.Errorf("of %d that the ledger knows by another end %d are left, %v", len(few.Epochs), len(got.Epochs), err)
	}
}
