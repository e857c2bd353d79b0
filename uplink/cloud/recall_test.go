package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// settledIn writes into the ledger that an epoch ended and is proved.
func settledIn(t *testing.T, shelf *memShelf, e epochState) {
	t.Helper()
	a := account{Epoch: e.id, Upto: e.upto, End: e.end, Settled: true}
	body, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shelf.Put(t.Context(), newBook("g", nil, shelf).accountKey(e.id), body, AnyRev, 0); err != nil {
		t.Fatal(err)
	}
}

// TestLedgerAnswersForTheState: an epoch that has left the state is known all
// the same, when hello names it and when only an update does.
func TestLedgerAnswersForTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf, l := &memShelf{}, &memLog{}
		old := epochState{id: gateway.NewEpochID(), upto: 40, end: endClosed}
		older := epochState{id: gateway.NewEpochID(), upto: 7, end: endClosed}
		settledIn(t, shelf, old)
		settledIn(t, shelf, older)
		_, dial := piped(t, Options{Log: l, Shelf: shelf})
		conn := dial()
		say(t, conn, &wire.Hello{GatewayID: "g", Epochs: []wire.HelloEpoch{{Epoch: old.id, Oldest: 1, Last: 40}, {Epoch: gateway.NewEpochID(), Oldest: 1}}})
		w := hear[*wire.Welcome](t, conn)
		if w.Epochs[0] != old.ack() || w.Epochs[1].Upto != 0 {
			t.Errorf("welcomed with %+v", w.Epochs)
		}
		records := len(l.records)
		say(t, conn, lost(wire.LaneBacklog, older.id, 1, 7))
		if a := hear[*wire.Ack](t, conn); a.Epochs[0] != older.ack() || len(l.records) != records {
			t.Errorf("ack %+v, %d more records", a, len(l.records)-records)
		}
	})
}

// A deafShelf does not answer.
type deafShelf struct{ Shelf }

func (deafShelf) Get(context.Context, string) (Doc, error) { return Doc{}, errors.New("no answer") }

// TestLedgerThatDoesNotAnswer: what cannot be decided is not stored.
func TestLedgerThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &memLog{}
		_, dial := piped(t, Options{Log: l, Shelf: deafShelf{}})
		conn := dial()
		say(t, conn, &wire.Hello{GatewayID: "g"}) // names nothing: nothing to ask
		hear[*wire.Welcome](t, conn)
		say(t, conn, lost(wire.LaneLive, gateway.NewEpochID(), 1, 7))
		if n := hear[*wire.Nack](t, conn); n.Code != nackStorage || !n.Retry || n.AfterMS == 0 || len(l.records) != 1 {
			t.Errorf("nack %+v, %d records", n, len(l.records))
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
	shelf := &memShelf{}
	s := New(Options{Shelf: shelf})
	t.Cleanup(s.Close)
	c := &chain{gatewayID: "g", recall: s.settled()}
	var held state
	for i := range 3 * keepFinished {
		e := epochState{id: gateway.NewEpochID(), upto: uint64(i), end: endClosed}
		held = held.with(e)
		if i%2 == 0 {
			settledIn(t, shelf, e)
		}
	}
	behind := epochState{id: gateway.NewEpochID(), upto: 5, end: endOpen}
	settledIn(t, shelf, epochState{id: behind.id, upto: 4, end: endOpen})
	growing := epochState{id: gateway.NewEpochID(), upto: 5, end: endNone}
	held = held.with(behind).with(growing)
	named := held.epochs[0].id
	got, err := c.recalled(t.Context(), held, &wire.Hello{Epochs: []wire.HelloEpoch{{Epoch: named}}})
	if err != nil {
		t.Fatal(err)
	}
	if !got.knows(named) || !got.knows(behind.id) || !got.knows(growing.id) {
		t.Errorf("the state forgot what it needs: %s", got)
	}
	if n := len(held.epochs) - len(got.epochs); n != 3*keepFinished/2-1 {
		t.Errorf("%d epochs were forgotten, want all that the ledger has but the named one", n)
	}
	few := state{epochs: held.epochs[:keepFinished]}
	if got, err := c.recalled(t.Context(), few, &wire.Hello{}); err != nil || len(got.epochs) != keepFinished {
		t.Errorf("of few epochs some were forgotten: %v, %v", got, err)
	}
}

// TestStateForgetsNoMoreThanItMust: so many that ended stay at hand, of which
// the ledger would have to be asked, and it is asked about few at a time; what
// it says of an end must be that end.
func TestStateForgetsNoMoreThanItMust(t *testing.T) {
	var asked int
	c := &chain{gatewayID: "g"}
	var held state
	for i := range 3 * forgetAtOnce {
		held = held.with(epochState{id: gateway.NewEpochID(), upto: uint64(i), end: endClosed})
	}
	end := func(e epochState) ending { return e.end }
	c.recall = func(_ context.Context, _ string, id gateway.EpochID) (epochState, bool, error) {
		asked++
		e := held.get(id)
		e.end = end(e)
		return e, true, nil
	}
	got, err := c.recalled(t.Context(), held, &wire.Hello{})
	if err != nil || asked != forgetAtOnce || len(got.epochs) != 2*forgetAtOnce {
		t.Errorf("asked %d times, %d are left, %v", asked, len(got.epochs), err)
	}
	few := state{epochs: held.epochs[:keepFinished+5]}
	if got, err = c.recalled(t.Context(), few, &wire.Hello{}); err != nil || len(got.epochs) != keepFinished {
		t.Errorf("of %d %d are left, %v", len(few.epochs), len(got.epochs), err)
	}
	end = func(epochState) ending { return endOpen }
	if got, err = c.recalled(t.Context(), few, &wire.Hello{}); err != nil || len(got.epochs) != len(few.epochs) {
		t.Errorf("of %d that the ledger knows by another end %d are left, %v", len(few.epochs), len(got.epochs), err)
	}
}
