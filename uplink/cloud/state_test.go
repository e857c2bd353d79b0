package cloud

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s state
		for range rapid.IntRange(0, 5).Draw(rt, "epochs") {
			e := epochState{id: gateway.NewEpochID(), upto: rapid.Uint64().Draw(rt, "upto")}
			e.end = rapid.SampledFrom([]ending{endNone, endClosed, endOpen, endUnlisted}).Draw(rt, "end")
			if e.end == endOpen {
				e.sum = rapid.Uint32().Draw(rt, "sum")
			}
			s.epochs = append(s.epochs, e)
		}
		for range rapid.IntRange(0, 3).Draw(rt, "event epochs") {
			s = s.withEvent(gateway.NewEpochID(), rapid.Uint64().Draw(rt, "seq"))
		}
		got, err := parseState(s.String())
		if err != nil || !slices.Equal(got.epochs, s.epochs) || !slices.Equal(got.events, s.events) {
			rt.Fatalf("%q parsed as %v, %v", s, got, err)
		}
	})
}

func TestDamagedState(t *testing.T) {
	id := gateway.NewEpochID().String()
	for _, text := range []string{"x", id, id + ":1", id + ":1:", id + ":x:c", id + ":1:oxyz", "00:1:c", id + ":1:c,"} {
		if s, err := parseState(text); err == nil {
			t.Errorf("%q parsed as %v", text, s)
		}
	}
}

func TestHelloMarksWhatItDoesNotList(t *testing.T) {
	ids := make([]gateway.EpochID, 4)
	var s state
	for i, end := range []ending{endNone, endClosed, endOpen, endUnlisted} {
		ids[i] = gateway.NewEpochID()
		s.epochs = append(s.epochs, epochState{id: ids[i], upto: 5, end: end})
	}
	fresh := gateway.NewEpochID()
	got := s.opened(&wire.Hello{Epochs: []wire.HelloEpoch{{Epoch: fresh}}})
	if got.get(ids[0]).end != endNone || got.get(fresh).end != endNone {
		t.Errorf("a hello that does not list all marked some: %s", got)
	}
	got = s.opened(&wire.Hello{All: true, Epochs: []wire.HelloEpoch{{Epoch: fresh}}})
	want := []ending{endUnlisted, endClosed, endOpen, endUnlisted, endNone}
	for i, e := range got.epochs {
		if e.end != want[i] || e.id != append(ids, fresh)[i] {
			t.Errorf("epoch %d is %c, want %c", i, e.end, want[i])
		}
	}
	got = got.opened(&wire.Hello{All: true, Epochs: []wire.HelloEpoch{{Epoch: ids[0]}}})
	if got.get(ids[0]).end != endNone || got.get(ids[0]).upto != 5 || got.get(fresh).end != endUnlisted {
		t.Errorf("after a hello that names it again: %s", got)
	}
}

func TestStateStaysSmall(t *testing.T) {
	named := gateway.NewEpochID()
	s := state{epochs: []epochState{{id: named, end: endClosed}}}
	for range maxEpochs + 100 {
		s = s.opened(&wire.Hello{All: true, Epochs: []wire.HelloEpoch{{Epoch: named}, {Epoch: gateway.NewEpochID()}}})
		s.epochs[len(s.epochs)-1].end = endOpen
		s = s.withEvent(gateway.NewEpochID(), 1<<62)
	}
	if len(s.epochs) != maxEpochs || s.epochs[0].id != named {
		t.Errorf("%d epochs, want %d, the named one among them", len(s.epochs), maxEpochs)
	}
	for range maxEpochs + 100 { // of which it forgets each before it ends
		s = s.opened(&wire.Hello{All: true, Epochs: []wire.HelloEpoch{{Epoch: named}, {Epoch: gateway.NewEpochID()}}})
	}
	if len(s.epochs) != maxEpochs || s.epochs[0].id != named {
		t.Errorf("%d epochs, want %d, the named one among them", len(s.epochs), maxEpochs)
	}
	if len(s.events) != maxEventEpochs {
		t.Errorf("%d epochs of events, want %d", len(s.events), maxEventEpochs)
	}
	if n := len(fmt.Sprint(s)); n > 60<<10 {
		t.Errorf("%d bytes do not fit into a record's headers", n)
	}
}

func TestEventMarks(t *testing.T) {
	a, b := gateway.NewEpochID(), gateway.NewEpochID()
	s := state{}.withEvent(a, 3).withEvent(b, 1)
	if !s.holds(a, 3) || !s.holds(a, 1) || s.holds(a, 4) || s.holds(gateway.NewEpochID(), 1) {
		t.Errorf("state %s", s)
	}
	if n := s.newestEvent(); n.Epoch != b || n.Upto != 1 {
		t.Errorf("newest is %+v", n)
	}
	if n := s.withEvent(a, 9).newestEvent(); n.Epoch != a || n.Upto != 9 || s.holds(a, 9) {
		t.Errorf("newest is %+v after another", n)
	}
	if n := (state{}).newestEvent(); n == nil || n.Upto != 0 {
		t.Error("a new gateway has a newest event")
	}
}
