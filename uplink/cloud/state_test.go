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
			s = append(s, e)
		}
		got, err := parseState(s.String())
		if err != nil || !slices.Equal(got, s) {
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
		s = append(s, epochState{id: ids[i], upto: 5, end: end})
	}
	fresh := gateway.NewEpochID()
	got := s.opened(&wire.Hello{Epochs: []wire.HelloEpoch{{Epoch: fresh}}})
	if got.get(ids[0]).end != endNone || got.get(fresh).end != endNone {
		t.Errorf("a hello that does not list all marked some: %s", got)
	}
	got = s.opened(&wire.Hello{All: true, Epochs: []wire.HelloEpoch{{Epoch: fresh}}})
	want := []ending{endUnlisted, endClosed, endOpen, endUnlisted, endNone}
	for i, e := range got {
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
	s := state{{id: named, end: endClosed}}
	for range maxEpochs + 100 {
		s = s.opened(&wire.Hello{All: true, Epochs: []wire.HelloEpoch{{Epoch: named}, {Epoch: gateway.NewEpochID()}}})
		s[len(s)-1].end = endOpen
	}
	if len(s) != maxEpochs || s[0].id != named {
		t.Errorf("%d epochs, want %d, the named one among them", len(s), maxEpochs)
	}
	if n := len(fmt.Sprint(s)); n > 60<<10 {
		t.Errorf("%d bytes do not fit into a record's headers", n)
	}
}
