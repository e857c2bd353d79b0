package record

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
		var s State
		for range rapid.IntRange(0, 5).Draw(rt, "epochs") {
			e := EpochState{ID: gateway.NewEpochID(), Upto: rapid.Uint64().Draw(rt, "upto")}
			e.End = rapid.SampledFrom([]Ending{EndNone, EndClosed, EndOpen, EndUnlisted}).Draw(rt, "end")
			if e.End == EndOpen {
				e.Sum = rapid.Uint32().Draw(rt, "sum")
			}
			s.Epochs = append(s.Epochs, e)
		}
		for range rapid.IntRange(0, 3).Draw(rt, "event epochs") {
			s = s.WithEvent(gateway.NewEpochID(), rapid.Uint64().Draw(rt, "seq"))
		}
		got, err := ParseState(s.String())
		if err != nil || !slices.Equal(got.Epochs, s.Epochs) || !slices.Equal(got.events, s.events) {
			rt.Fatalf("%q parsed as %v, %v", s, got, err)
		}
	})
}

func TestDamagedState(t *testing.T) {
	id := gateway.NewEpochID().String()
	for _, text := range []string{"x", id, id + ":1", id + ":1:", id + ":x:c", id + ":1:oxyz", "00:1:c", id + ":1:c,"} {
		if s, err := ParseState(text); err == nil {
			t.Errorf("%q parsed as %v", text, s)
		}
	}
}

func TestHelloMarksWhatItDoesNotList(t *testing.T) {
	ids := make([]gateway.EpochID, 4)
	var s State
	for i, end := range []Ending{EndNone, EndClosed, EndOpen, EndUnlisted} {
		ids[i] = gateway.NewEpochID()
		s.Epochs = append(s.Epochs, EpochState{ID: ids[i], Upto: 5, End: end})
	}
	fresh := gateway.NewEpochID()
	got := s.Opened(&wire.Hello{Epochs: []wire.HelloEpoch{{Epoch: fresh}}})
	if got.Get(ids[0]).End != EndNone || got.Get(fresh).End != EndNone {
		t.Errorf("a hello that does not list all marked some: %s", got)
	}
	got = s.Opened(&wire.Hello{All: true, Epochs: []wire.HelloEpoch{{Epoch: fresh}}})
	want := []Ending{EndUnlisted, EndClosed, EndOpen, EndUnlisted, EndNone}
	for i, e := range got.Epochs {
		if e.End != want[i] || e.ID != append(ids, fresh)[i] {
			t.Errorf("epoch %d is %c, want %c", i, e.End, want[i])
		}
	}
	got = got.Opened(&wire.Hello{All: true, Epochs: []wire.HelloEpoch{{Epoch: ids[0]}}})
	if got.Get(ids[0]).End != EndNone || got.Get(ids[0]).Upto != 5 || got.Get(fresh).End != EndUnlisted {
		t.Errorf("after a hello that names it again: %s", got)
	}
}

func TestStateStaysSmall(t *testing.T) {
	named := gateway.NewEpochID()
	s := State{Epochs: []EpochState{{ID: named, End: EndClosed}}}
	for range MaxEpochs + 100 {
		s = s.Opened(&wire.Hello{All: true, Epochs: []wire.HelloEpoch{{Epoch: named}, {Epoch: gateway.NewEpochID()}}})
		s.Epochs[len(s.Epochs)-1].End = EndOpen
		s = s.WithEvent(gateway.NewEpochID(), 1<<62)
	}
	if len(s.Epochs) != MaxEpochs || s.Epochs[0].ID != named {
		t.Errorf("%d epochs, want %d, the named one among them", len(s.Epochs), MaxEpochs)
	}
	for range MaxEpochs + 100 { // of which it forgets each before it ends
		s = s.Opened(&wire.Hello{All: true, Epochs: []wire.HelloEpoch{{Epoch: named}, {Epoch: gateway.NewEpochID()}}})
	}
	if len(s.Epochs) != MaxEpochs || s.Epochs[0].ID != named {
		t.Errorf("%d epochs, want %d, the named one among them", len(s.Epochs), MaxEpochs)
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
	s := State{}.WithEvent(a, 3).WithEvent(b, 1)
	if !s.HoldsEvent(a, 3) || !s.HoldsEvent(a, 1) || s.HoldsEvent(a, 4) || s.HoldsEvent(gateway.NewEpochID(), 1) {
		t.Errorf("state %s", s)
	}
	if n := s.NewestEvent(); n.Epoch != b || n.Upto != 1 {
		t.Errorf("newest is %+v", n)
	}
	if n := s.WithEvent(a, 9).NewestEvent(); n.Epoch != a || n.Upto != 9 || s.HoldsEvent(a, 9) {
		t.Errorf("newest is %+v after another", n)
	}
	if n := (State{}).NewestEvent(); n == nil || n.Upto != 0 {
		t.Error("a new gateway has a newest event")
	}
}
