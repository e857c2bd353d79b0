package model

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
)

// enough histories come to everything that there is to see.
const enough = 24

var (
	histories = flag.Int("histories", enough, "how many histories TestHistories lives through")
	length    = flag.Int("steps", 80, "how many steps each of them has")
	firstSeed = flag.Uint64("seed", 0, "seed of the first history, the next one has the next; 0: another one each time")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A verdict is what the judge says of a history.
type verdict struct {
	*account
	w    *testbed
	took time.Duration // of virtual time
}

// A life says which history to live through.
type life struct {
	seed    uint64
	ruleOff func() *brokenRule // nil: no rule is switched off
	small   bool               // the card has room for little
}

// live lives through one history.
func live(t *testing.T, l life) (v verdict) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestbed(t, l)
		defer w.close()
		began := time.Now()
		if l.small {
			w.do(fill)
		}
		for range *length {
			if w.log.setSick(0); w.r.IntN(3) == 0 {
				w.log.setSick(w.r.IntN(300))
			}
			if w.r.IntN(3) == 0 {
				w.light()
			}
			w.take()
			w.notice()
			w.mend()
		}
		w.endClone()
		w.heal(w.boards[0])
		w.log.late.Wait()
		v = verdict{w.read(w.log), w, time.Since(began)}
		v.judge(w.known())
		for _, said := range w.stuck {
			v.fault(stuck, "%s", said)
		}
	})
	runtime.GC() // sync.Pools of the libraries hold timers of this bubble, which
	runtime.GC() // another must not touch: the second collection empties them
	return v
}

// smallOne tells whether a history is one with a small card, which takes long.
func smallOne(seed uint64) bool { return seed%10 == 0 }

// outside keeps a log open outside of all bubbles: with the first one that is
// opened nats-server starts a clock that all share, and with a channel that
// belongs to no bubble.
func outside(t *testing.T) {
	l, err := jetstream.Open(t.Context(), jetstream.Options{Dir: t.TempDir(), MaxBytes: 1 << 28, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
}

func drawSeed() uint64 {
	if *firstSeed != 0 {
		return *firstSeed
	}
	return uint64(rand.Uint32())
}

// Whatever happens, in which order ever: when all is well again, every reading
// that the store gave a name is in the cloud's log once, or a record says why
// not.
func TestHistories(t *testing.T) {
	outside(t)
	seed, began, virtual, sum := drawSeed(), time.Now(), time.Duration(0), map[string]int{}
	for i := range *histories {
		v := live(t, life{seed: seed + uint64(i), small: smallOne(seed + uint64(i))})
		if len(v.faults) > 0 {
			_ = os.WriteFile(filepath.Join(os.TempDir(), "fieldgate-model-log.txt"), []byte(strings.Join(v.trace, "\n")), 0o600)
			t.Fatalf("go test -run '^TestHistories$' ./uplink/cloud/model -seed %d -histories 1 -steps %d\n"+
				"(the seed repeats the steps; what runs beside each other may fall differently)\n%s\n%s",
				seed+uint64(i), *length, strings.Join(v.faults, "\n"), strings.Join(v.w.story, ", "))
		}
		virtual += v.took
		for name, n := range v.numbers() {
			sum[name] += n
		}
	}
	took := time.Since(began)
	t.Logf("%d histories from seed %d: %.0f steps/s, %.0f hours of theirs in %v\n%s", *histories, seed,
		float64(*histories**length)/took.Seconds(), virtual.Hours(), took.Round(time.Second), table(sum))
	if *histories >= enough {
		checkCoverage(t, sum)
	}
}
