package command_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/store/storetest"
)

var (
	crashSeed  = flag.Uint64("crashseed", 0, "seed of TestPowerCutsAtEveryStep; 0: another one each time")
	crashLives = flag.Int("crashlives", 3, "lives that TestPowerCutsAtEveryStep cuts")
)

// A cut is a moment at which power may fail.
type cut struct {
	storetest.Recorded
	given []gateway.Command
	acted []string
	final map[string]gateway.CommandState // told, so durable
}

// Promise 7: power is cut during every step that the card takes, and each
// thing that may then be on it is tried. The sender sends again what it sent.
// Nothing acts twice, and every command gets a result that does not change.
func TestPowerCutsAtEveryStep(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (-crashseed)", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	images, twice := 0, map[gateway.CommandState]int{}
	for range *crashLives {
		for _, c := range liveWithCuts(t, random) {
			for image := range storetest.Cuts(c.Recorded, 4, random) {
				images++
				afterCut(t, c, image, byte(1+images%2), twice)
			}
		}
	}
	t.Logf("%d images; results after the cut: %v", images, twice)
	for _, state := range []gateway.CommandState{done, unknown, expired} {
		if twice[state] == 0 {
			t.Errorf("no command became %s: the cuts do not reach what they are for", state)
		}
	}
}

// liveWithCuts lets commands of all kinds come, and gives the moments.
func liveWithCuts(t *testing.T, random *rand.Rand) (cuts []cut) {
	onBench(t, func(b *bench) {
		b.close()
		var given []gateway.Command
		rec := &storetest.Recorder{Root: b.dir}
		rec.Emit = func(r storetest.Recorded) {
			b.mu.Lock()
			defer b.mu.Unlock()
			c := cut{Recorded: r, given: slices.Clone(given), acted: b.plant.did(), final: map[string]gateway.CommandState{}}
			for _, r := range b.told {
				if r.State.Final() {
					c.final[r.ID] = r.State
				}
			}
			cuts = append(cuts, c)
		}
		b.record = rec
		b.open()
		took := map[string]time.Duration{}
		for i := range 12 {
			took[fmt.Sprintf("c-%d", i)] = time.Duration(random.IntN(40)) * time.Second
		}
		b.plant.will(func(id string) (time.Duration, error) { return took[id], nil })
		for i := range 12 {
			c := pump(fmt.Sprintf("c-%d", i), time.Duration(1+random.IntN(600))*time.Second)
			c.Device = fmt.Sprintf("pump-%d", random.IntN(3))
			c.Once, c.Seq = random.IntN(3) == 0, uint64(i+1)
			b.mu.Lock()
			given = append(given, c)
			b.mu.Unlock()
			b.give(c)
			time.Sleep(time.Duration(random.IntN(20)) * time.Second)
		}
		time.Sleep(10 * time.Minute)
		if err := rec.Err(); err != nil {
			t.Fatal(err)
		}
		b.record = nil
		b.close()
		b.open()
	})
	return cuts
}

// afterCut starts the gateway on what a cut left, and lets the sender ask.
func afterCut(t *testing.T, c cut, image storetest.Dir, boot byte, results map[gateway.CommandState]int) {
	dir := filepath.Join(t.TempDir(), "image")
	if err := image.Write(dir); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, plant: &plant{}, card: &card{}, clock: clock.NewFake(gateway.BootID{boot}), dir: dir}
		time.Sleep(24 * time.Hour) // the bubble's clock begins anew, behind that of the life before
		b.clock = clock.NewFake(gateway.BootID{boot})
		b.open()
		defer b.close()
		synctest.Wait()
		for _, again := range c.given {
			again.Again = true
			if again.Once {
				again.TTL = 0
			}
			b.give(again)
		}
		time.Sleep(time.Hour)
		for _, again := range c.given {
			b.give(again) // is answered now, whatever it was
			states := b.states(again.ID)
			last := gateway.CommandState("")
			if len(states) > 0 {
				last = states[len(states)-1]
			}
			results[last]++
			if before := c.final[again.ID]; !last.Final() || before != "" && last != before {
				t.Errorf("%s during %s: told %q before the cut, %v after", again.ID, c.Point, before, states)
			}
			if c.final[again.ID] == "" && !slices.Contains(b.events(again.ID), last) {
				t.Errorf("%s: no event tells that it is %s, only %v", again.ID, last, b.events(again.ID))
			}
			acts := count(c.acted, again.ID) + count(b.plant.did(), again.ID)
			if acts > 1 || last == expired && acts > 0 || last == done && acts != 1 {
				t.Errorf("%s during %s: acted %d times, is %s", again.ID, c.Point, acts, last)
			}
		}
	})
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}
