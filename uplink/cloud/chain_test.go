package cloud

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func openOn(t testing.TB, l Log) *chain {
	t.Helper()
	c := &chain{log: l, gatewayID: "g"}
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
		"stored, no reply":          {fault: times(1, true, ErrUnavailable)},
		"stored, reply lost, deaf":  {fault: times(1, true, ErrUnavailable), deaf: times(3, false, ErrUnavailable), told: 1},
		"not stored, no reply":      {fault: times(1, false, ErrUnavailable), told: 1},
		"full for a while":          {fault: times(9, false, ErrFull), told: 1},
		"stored, answered as error": {fault: times(1, true, errors.New("odd"))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &memLog{}
				ch := openOn(t, l)
				began, ended := 0, 0
				ch.trouble = func(err error) {
					if err != nil {
						began++
					} else {
						ended++
					}
				}
				l.fault = c.fault
				if c.deaf != nil {
					l.deaf = func() error { _, err := c.deaf(); return err }
				}
				for first := range uint64(2) {
					if _, err := ch.append(t.Context(), Record{Kind: KindUpdate, First: first}); err != nil {
						t.Fatal(err)
					}
				}
				if len(l.records) != 3 || l.records[1].First != 0 || l.records[2].First != 1 || l.records[2].Prev != l.records[1].ID {
					t.Errorf("records %+v", l.records)
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
		l := &memLog{}
		c := openOn(t, l)
		l.fault = times(1<<30, false, ErrFull)
		ctx, stop := context.WithCancelCause(t.Context())
		why := errors.New("why")
		c.trouble = func(error) { stop(why) }
		if _, err := c.append(ctx, Record{}); !errors.Is(err, why) || !errors.Is(err, ErrFull) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestNewerSessionFencesOlder(t *testing.T) {
	l := &memLog{}
	older := openOn(t, l)
	newer := openOn(t, l)
	if newer.gen <= older.gen {
		t.Errorf("gen %d after %d", newer.gen, older.gen)
	}
	if _, err := older.append(t.Context(), Record{}); !errors.Is(err, errSuperseded) {
		t.Errorf("the older session got %v", err)
	}
	if _, err := newer.append(t.Context(), Record{}); err != nil {
		t.Error(err)
	}
}

func TestLogThatLostItsTail(t *testing.T) {
	l := &memLog{}
	e := gateway.NewEpochID()
	ghost := openOn(t, l)
	if _, err := ghost.append(t.Context(), Record{Kind: KindUpdate, State: state{epochs: []epochState{{id: e, upto: 9, end: endNone}}}.String()}); err != nil {
		t.Fatal(err)
	}
	l.lose(1)
	if _, err := ghost.append(t.Context(), Record{}); !errors.Is(err, errSuperseded) {
		t.Errorf("a session from before the loss got %v", err)
	}

	// Another session takes the lost record's sequence; then what the ghost
	// had under way arrives, and fits the sequence.
	next := openOn(t, l)
	if next.end.seq != ghost.end.seq {
		t.Fatalf("sequences %d and %d", next.end.seq, ghost.end.seq)
	}
	void := Record{Kind: KindUpdate, ID: "void", Prev: ghost.known.id, PrevSeq: ghost.known.seq, State: state{epochs: []epochState{{id: e, upto: 99, end: endNone}}}.String()}
	if _, err := l.Append(t.Context(), "g", ghost.end.seq, void); err != nil {
		t.Fatal(err)
	}
	c := &chain{log: l, gatewayID: "g"}
	st, err := openChain(t.Context(), c, &wire.Hello{})
	if err != nil || st.get(e).upto != 0 {
		t.Fatalf("opened with %v, %v: the void record's state was believed", st, err)
	}
	if _, err := c.append(t.Context(), Record{ID: "last"}); err != nil {
		t.Fatal(err)
	}
	again := openOn(t, l)
	if again.known.id == "void" || again.gen <= c.gen {
		t.Errorf("opened again behind %+v", again.known)
	}
	var ids []string
	for r := range valid(l.Read(t.Context(), "g", 0)) {
		ids = append(ids, r.ID)
	}
	if len(ids) != len(l.records)-1 {
		t.Errorf("%d of %d records are valid, want all but the void one", len(ids), len(l.records))
	}
}

// clash lets sessions open and append on a log that fails at random, and
// gives what is wrong with the log afterwards.
func clash(rt *rapid.T, t testing.TB, l *memLog) error {
	answers := []func() (bool, error){
		func() (bool, error) { return true, nil },
		func() (bool, error) { return true, nil },
		func() (bool, error) { return true, ErrUnavailable },
		func() (bool, error) { return false, ErrUnavailable },
		func() (bool, error) { return false, ErrFull },
	}
	l.fault = func() (bool, error) { return rapid.SampledFrom(answers).Draw(rt, "answer")() }
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
		_, err := c.append(t.Context(), Record{Kind: KindUpdate, First: next})
		if err == nil {
			want = append(want, next)
		}
		if err == nil && c != chains[len(chains)-1] {
			return errors.New("an older session could append")
		}
	}
	var got []uint64
	for r := range valid(l.Read(t.Context(), "g", 0)) {
		if r.Kind == KindUpdate {
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
			if err := clash(rt, t, &memLog{}); err != nil {
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
			if clash(rt, t, &memLog{unfenced: true}) != nil {
				seen++
			}
		})
	})
	if seen == 0 {
		t.Error("no run found that an unfenced log takes records from two sessions")
	}
}
