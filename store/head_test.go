package store

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
)

// The head is a ring; what it holds is what a plain slice of the newest
// readings holds.
func TestHeadAgainstAPlainSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &head{first: 1}
		var plain []float64 // from seq h.first on
		first, last := uint64(1), uint64(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0, 1:
				for range rapid.IntRange(1, 700).Draw(t, "n") {
					last++
					if h.push(gateway.Reading{Value: float64(last), At: gateway.Stamp(last)}, time.Duration(last)) {
						t.Fatal("a head far below its bound dropped a reading")
					}
					plain = append(plain, float64(last))
				}
			case 2:
				upto := rapid.Uint64Range(0, last).Draw(t, "upto")
				h.forget(upto)
				for first <= upto {
					first, plain = first+1, plain[1:]
				}
			}
			if h.first != first || h.last != last || h.len() != len(plain) {
				t.Fatalf("the head has %d to %d, want %d to %d", h.first, h.last, first, last)
			}
		}
		from := rapid.Uint64Range(first, last+1).Draw(t, "from")
		n := rapid.IntRange(0, 2000).Draw(t, "copied")
		got := h.copy(nil, from, n)
		want := plain[from-first:][:min(n, int(last+1-from))]
		if len(got) != len(want) {
			t.Fatalf("%d readings, want %d", len(got), len(want))
		}
		for i, r := range got {
			if r.Value != want[i] || h.get(from+uint64(i)).came != time.Duration(want[i]) {
				t.Fatalf("reading %d is %v, want %v", from+uint64(i), r.Value, want[i])
			}
		}
	})
}

// A full head drops the oldest, one for one, and remembers the span of their
// stamps until the gap that tells of them is on the card.
func TestFullHeadDropsTheOldest(t *testing.T) {
	const more = 1000
	h := &head{first: 1}
	for i := range headMax + more {
		at := gateway.Stamp(5000 + i)
		if i == 3 {
			at = 7 // a reading may be stamped before the one that came before it
		}
		if dropped := h.push(gateway.Reading{At: at}, 0); dropped != (i >= headMax) {
			t.Fatalf("reading %d: dropped %v", i+1, dropped)
		}
	}
	if h.first != more+1 || h.last != headMax+more || h.len() != headMax || len(h.ring) != headMax {
		t.Errorf("%d to %d in a ring of %d", h.first, h.last, len(h.ring))
	}
	if h.dropped0 != 7 || h.dropped1 != 5000+more-1 {
		t.Errorf("dropped from %d to %d", h.dropped0, h.dropped1)
	}
	h.forget(more - 1) // a commit that ended before the last one was dropped
	if h.first != more+1 || h.dropped1 == 0 {
		t.Errorf("the span of what was dropped is gone with a commit that does not tell of all of it")
	}
	h.forget(more)
	if h.dropped0 != 0 || h.dropped1 != 0 {
		t.Errorf("what the card has told of is still dropped from %d to %d", h.dropped0, h.dropped1)
	}
	h.forget(headMax + more)
	if h.len() != 0 || h.ring != nil {
		t.Errorf("an empty head still takes %d places of RAM", len(h.ring))
	}
	if h.push(gateway.Reading{}, 0); h.len() != 1 || len(h.ring) != headMin {
		t.Errorf("after that it holds %d in %d places", h.len(), len(h.ring))
	}
}
