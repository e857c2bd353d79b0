package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func openOn(t testing.TB, l record.Log) *chain {
	t.Helper()
	c := newChain(l)
	if _, err := openChain(t.Context(), c, &wire.Hello{}); err != nil {
		t.Fatal(err)
	}
	return c
}

// times gives the answer n times, then lets everything pass.
func times(n int, stored bool, answer error) func() (bool, error) {
	return func() (bool, error) {
		if n--; n < 0 {
			return true, nil
		}
		return stored, answer
	}
}

func TestAppendSettlesByReading(t *testing.T) {
	for name, c := range map[string]struct {
		fault func() (bool, error)
		deaf  func() (bool, error)
		told  int // 1: told once that it fails, then once that it works
	}{
		"no trouble":                {},
		"stored, no reply":          {fault: times(1, true, record.ErrUnavailable)},
		"stored, reply lost, deaf":  {fault: times(1, true, record.ErrUnavailable), deaf: times(3, false, record.ErrUnavailable), told: 1},
		"not stored, no reply":      {fault: times(1, false, record.ErrUnavailable), told: 1},
		"full for a while":          {fault: times(9, false, record.ErrFull), told: 1},
		"stored, answered as error": {fault: times(1, true, errors.New("odd"))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &cloudtest.Log{}
				ch := openOn(t, l)
				began, ended := 0, 0
				ch.trouble = func(err error) {
					if err != nil {
						began++
					} else {
						ended++
					}
				}
				l.Fault = c.fault
				if c.deaf != nil {
					l.Deaf = func() error { _, err := c.deaf(); return err }
				}
				for first := range uint64(2) {
					if _, err := ch.append(t.Context(), record.Record{Kind: record.KindUpdate, First: first}); err != nil {
						t.Fatal(err)
					}
				}
				if len(l.Records) != 3 || l.Records[1].First != 0 || l.Records[2].First != 1 || l.Records[2].Prev != l.Records[1].ID {
					t.Errorf("records %+v", l.Records)
				}
				if began != c.told || ended != c.told {
					t.Errorf("told of trouble %d times, of its end %d times, want %d", began, ended, c.told)
				}
			})
		})
	}
}

func TestAppendEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		c := openOn(t, l)
		l.Fault = times(1<<30, false, record.ErrFull)
		ctx, stop := context.WithCancelCause(t.Context())
		why := errors.New("why")
		c.trouble = func(error) { stop(why) }
		if _, err := c.append(ctx, record.Record{}); !errors.Is(err, why) || !errors.Is(err, record.ErrFull) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestNewerSessionFencesOlder(t *testing.T) {
	l := &cloudtest.Log{}
	older := openOn(t, l)
	newer := openOn(t, l)
	if newer.gen <= older.gen {
		t.Errorf("gen %d after %d", newer.gen, older.gen)
	}
	if _, err := older.append(t.Context(), record.Record{}); !errors.Is(err, errSuperseded) {
		t.Errorf("the older session got %v", err)
	}
	if _, err := newer.append(t.Context(), record.Record{}); err != nil {
		t.Error(err)
	}
}

func TestLogThatLostItsTail(t *testing.T) {
	l := &cloudtest.Log{}
	e := gateway.NewEpochID()
	ghost := openOn(t, l)
	if _, err := ghost.append(t.Context(), record.Record{Kind: record.KindUpdate,
		State: record.State{Epochs: []record.EpochState{{ID: e, Upto: 9, End: record.EndNone}}}.String()}); err != nil {
		t.Fatal(err)
	}
	l.Lose(1)
	if _, err := ghost.append(t.Context(), record.Record{}); !errors.Is(err, errSuperseded) {
		t.Errorf("a session from before the loss got %v", err)
	}

	// Another session takes the lost record's sequence; then what the ghost
	// had under way arrives, and fits the sequence.
	next := openOn(t, l)
	if next.end.Seq != ghost.end.Seq {
		t.Fatalf("sequences %d and %d", next.end.Seq, ghost.end.Seq)
	}
	void := record.Record{Kind: record.KindUpdate, ID: "void", Prev: ghost.known.ID, PrevSeq: ghost.known.Seq,
		State: record.State{Epochs: []record.EpochState{{ID: e, Upto: 99, End: record.EndNone}}}.String()}
	if _, err := l.Append(t.Context(), "g", ghost.end.Seq, void); err != nil {
		t.Fatal(err)
	}
	c := newChain(l)
	st, err := openChain(t.Context(), c, &wire.Hello{})
	if err != nil || st.Get(e).Upto != 0 {
		t.Fatalf("opened with %v, %v: the void record's state was believed", st, err)
	}
	if _, err := c.append(t.Context(), record.Record{ID: "last"}); err != nil {
		t.Fatal(err)
	}
	again := openOn(t, l)
	if again.known.ID == "void" || again.gen <= c.gen {
		t.Errorf("opened again behind %+v", again.known)
	}
	var ids []string
	for r := range record.Valid(l.Read(t.Context(), "g", 0)) {
		ids = append(ids, r.ID)
	}
	if len(ids) != len(l.Records)-1 {
		t.Errorf("%d of %d records are valid, want all but the void one", len(ids), len(l.Records))
	}
}

// What sessions from before a loss had under way arrives when the log has gone
// on without them. Where the chain goes on is where its readers see its end.
func TestTailIsWhereReadersSeeIt(t *testing.T) {
	for _, c := range cloudtest.ChainCases {
		if c.Unwritten {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			l := &cloudtest.Log{Records: c.Records()}
			want, newest := "", uint64(0)
			if valid := strings.Fields(c.Valid); len(valid) > 0 {
				want, newest = valid[len(valid)-1], l.Records[len(l.Records)-1].Seq
			}
			ch := &chain{log: l, gatewayID: "g"}
			tail, err := ch.findTail(t.Context())
			if err != nil || tail.ID != want || ch.known != tail.Place() || ch.end.Seq != newest {
				t.Errorf("the chain ends with %q, goes on behind %+v (%v), want %q", tail.ID, ch.end, err, want)
			}
		})
	}
}

// An append was tried twice and stored at the second try; the log loses that;
// the first try arrives, and then what was meant to follow the second.
func TestTriesAreNotTakenForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		old := openOn(t, l)
		if _, err := old.append(t.Context(), record.Record{Kind: record.KindUpdate}); err != nil {
			t.Fatal(err)
		}
		var first record.Record
		l.Late = func(r record.Record) { first = r }
		l.Fault = times(1, false, record.ErrUnavailable)
		stored, err := old.append(t.Context(), record.Record{Kind: record.KindUpdate})
		if err != nil || first.ID == stored.ID {
			t.Fatalf("stored %+v (%v) after %+v", stored, err, first)
		}
		next := record.Record{ID: "next", Prev: stored.ID, PrevSeq: stored.Seq}

		l.Fault, l.Late = nil, nil
		l.Lose(2)
		anew := openOn(t, l) // in the place of the first record that was lost
		for i, r := range []record.Record{first, next} {
			if _, err := l.Append(t.Context(), "g", anew.end.Seq+uint64(i), r); err != nil {
				t.Fatal(err)
			}
		}
		if again := openOn(t, l); again.gen <= anew.gen || l.Records[len(l.Records)-1].Prev != anew.known.ID {
			t.Errorf("opened behind %q, want %q", l.Records[len(l.Records)-1].Prev, anew.known.ID)
		}
	})
}

// clash lets sessions open and append on a log that fails at random, and
// gives what is wrong with the log afterwards.
func clash(rt *rapid.T, t testing.TB, l *cloudtest.Log) error {
	answers := []func() (bool, error){
		func() (bool, error) { return true, nil },
		func() (bool, error) { return true, nil },
		func() (bool, error) { return true, record.ErrUnavailable },
		func() (bool, error) { return false, record.ErrUnavailable },
		func() (bool, error) { return false, record.ErrFull },
	}
	l.Fault = func() (bool, error) { return rapid.SampledFrom(answers).Draw(rt, "answer")() }
	var chains []*chain
	var want []uint64
	next := uint64(0)
	for range rapid.IntRange(1, 30).Draw(rt, "steps") {
		if len(chains) == 0 || rapid.IntRange(0, 4).Draw(rt, "open") == 0 {
			chains = append(chains, openOn(t, l))
		}
		// Like gateways, sessions do not know of each other.
		c := rapid.SampledFrom(chains).Draw(rt, "session")
		next++
		_, err := c.append(t.Context(), record.Record{Kind: record.KindUpdate, First: next})
		if err == nil {
			want = append(want, next)
		}
		if err == nil && c != chains[len(chains)-1] {
			return errors.New("an older session could append")
		}
	}
	var got []uint64
	for r := range record.Valid(l.Read(t.Context(), "g", 0)) {
		if r.Kind == record.KindUpdate {
			got = append(got, r.First)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("the log holds %v, acknowledged were %v", got, want)
	}
	return nil
}

func TestSessionsOnAFailingLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			if err := clash(rt, t, &cloudtest.Log{}); err != nil {
				rt.Fatal(err)
			}
		})
	})
}

// TestClashSees shows that the test above would see a log without fencing.
func TestClashSees(t *testing.T) {
	seen := 0
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			if clash(rt, t, &cloudtest.Log{Unfenced: true}) != nil {
				seen++
			}
		})
	})
	if seen == 0 {
		t.Error("no run found that an unfenced log takes records from two sessions")
	}
}
