package remoteconfig_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/remoteconfig"
)

// However much is wrong with a configuration, what is told of it fits into the
// message and into the event that carry it.
func TestMoreProblemsThanCanBeTold(t *testing.T) {
	onBoard(t, func(b *board) {
		for i, c := range []struct {
			doc  string
			told int
			last string
		}{
			{"64 problems: line", 64, "line"},
			{"65 problems: line", 64, "and 2 more"},
			{"9999 problems: line", 64, "and 9936 more"},
			{"3 problems: " + strings.Repeat("ä", 5000), 3, strings.Repeat("ä", 512)},
			{"40 problems: " + strings.Repeat("\x00<", 100), 11, "and 30 more"},
		} {
			b.send(desire(uint64(i+1), c.doc))
			all := b.heard()
			errs := all[len(all)-1].Errors
			body, err := json.Marshal(all[len(all)-1])
			if err != nil || len(body) > 16<<10 || len(errs) != c.told || errs[len(errs)-1] != c.last {
				t.Errorf("%.30q: %d sentences, the last %.40q, in %d bytes, %v", c.doc, len(errs), errs[len(errs)-1], len(body), err)
			}
		}
	})
}

func TestGoodAndBadConfigurations(t *testing.T) {
	onBoard(t, func(b *board) {
		b.want("own")
		b.send(desire(1, "bad"))
		if told := b.heard(); len(told) != 1 || !slices.Equal(told[0].Errors, []string{"line 1", "line 2"}) {
			t.Errorf("told %+v", b.heard())
		}
		b.want("own", rejected)
		b.send(desire(2, "good"))
		b.want("good", applied)
		b.send(desire(2, "good")) // the cloud did not hear
		b.want("good", applied)
		wrong := desire(3, "better")
		wrong.Hash = wrong.Hash[1:] + "0"
		b.send(wrong)
		b.want("good", rejected)
		b.send(desire(4, "unfit"))
		b.want("good", rolledBack)
		b.send(desire(4, "unfit")) // not tried again under the same version
		b.want("good", rolledBack)
		b.send(desire(5, "unfit"))
		b.want("good", rolledBack)
		if b.unfits != 2 {
			t.Errorf("two versions were tried %d times", b.unfits)
		}
		b.stop()
		b.start()
		b.want("good")
		if ver, hash := b.k.Applied(); ver != 2 || hash != desire(2, "good").Hash {
			t.Errorf("hello says %d %s", ver, hash)
		}
	})
}

// A version is its number and its hash. Another document under a number that
// was refused is tried, the same one is not; and none that fails takes the
// place of the good one, or of what is told on site.
func TestAnotherDocumentUnderTheSameNumber(t *testing.T) {
	onBoard(t, func(b *board) {
		b.send(desire(2, "bad"))
		b.send(desire(2, "bad"))
		b.want("own", rejected, rejected)
		b.send(desire(2, "good"))
		b.want("good", applied)
		b.send(desire(2, "unfit"))
		b.want("good", rolledBack)
		b.stop()
		b.start()
		b.send(desire(2, "unfit"))
		b.want("good", rolledBack)
		if b.unfits != 1 {
			t.Errorf("the same document under the same number was tried %d times", b.unfits)
		}
		b.send(desire(2, "also bad"))
		b.want("good", rejected)
		if r := b.k.State().Refused; r == nil || r.Ver != 2 || r.Hash != desire(2, "also bad").Hash {
			t.Errorf("on site it says %+v", r)
		}
		b.send(desire(2, "good"))
		b.want("good", applied)
		if s := b.k.State(); s.Ver != 2 || s.OnTrial || s.Refused != nil {
			t.Errorf("on site it says %+v", s)
		}
	})
}

// A change of the uplink counts only when a session proves it; the time runs
// only while the network works otherwise.
func TestUplinkThatProvesNothing(t *testing.T) {
	onBoard(t, func(b *board) {
		b.send(desire(1, "moves"))
		b.want("moves", applied)
		b.send(desire(2, "dead"))
		b.want("dead")
		time.Sleep(50 * time.Second)
		b.want("dead")
		time.Sleep(15 * time.Second)
		b.want("moves", rolledBack)
		b.net.Store(false)
		b.send(desire(3, "dead again"))
		time.Sleep(time.Hour)
		b.want("dead again")
		b.stop()
		b.start() // it goes on after a power cut
		b.want("dead again")
		b.net.Store(true)
		time.Sleep(65 * time.Second)
		b.want("moves", rolledBack)
	})
}

// A configuration that kills the process does so three times at most.
func TestConfigurationThatKills(t *testing.T) {
	onBoard(t, func(b *board) {
		b.send(desire(1, "good"))
		b.send(desire(2, "kills"))
		b.want("good", applied, rolledBack)
		if b.deaths != 3 {
			t.Errorf("it killed the process %d times", b.deaths)
		}
	})
}

// A file that makes no sense is set aside, and a card that takes nothing
// keeps the configuration in force.
func TestFileThatCannotBeUsed(t *testing.T) {
	onBoard(t, func(b *board) {
		b.send(desire(1, "good"))
		b.want("good", applied)
		b.stop()
		if err := os.WriteFile(b.path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.start()
		b.want("own")
		if _, err := os.Stat(b.path + ".damaged"); err != nil {
			t.Error(err)
		}
		if err := os.Mkdir(b.path, 0o700); err != nil { // in the way of the next write
			t.Fatal(err)
		}
		b.send(desire(2, "better"))
		b.want("own", rejected)
		if err := os.Remove(b.path); err != nil {
			t.Fatal(err)
		}
		b.send(desire(3, "better"))
		b.want("better", applied)
	})
}

// Whatever comes, and whenever power fails: in force is what was confirmed
// last or is on trial, every version gets its outcome told, and a confirmed
// one stays until another is.
func TestConfigurationsAtRandom(t *testing.T) {
	words := []string{"bad", "good", "unfit", "moves", "dead", "kills", "fine"}
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		onBoard(t, func(b *board) {
			confirmed := "own"
			for ver := uint64(1); ver < 12; ver++ {
				doc := fmt.Sprintf("%s %d", words[random.IntN(len(words))], ver)
				b.send(desire(ver, doc))
				for range random.IntN(3) {
					time.Sleep(time.Duration(random.IntN(40)) * time.Second)
					b.stop() // the next start finds what the card holds
					b.start()
				}
				time.Sleep(10 * time.Minute)
				b.mu.Lock()
				var last gateway.ConfigOutcome
				for _, o := range b.told {
					if o.Ver == ver {
						last = o
					}
				}
				if last.State == applied {
					confirmed = doc
				}
				good := strings.ContainsAny(doc[:1], "gmf")
				if good != (last.State == applied) || last.State == "" || b.inForce != confirmed {
					t.Errorf("seed %d: %q ends as %q, in force is %q, confirmed %q", seed, doc, last.State, b.inForce, confirmed)
				}
				b.mu.Unlock()
			}
		})
	}
}

// A session of the run before does not confirm what it never worked with.
func TestSessionOfTheRunBeforeProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{T: t}
		k := remoteconfig.Open(filepath.Join(t.TempDir(), "config.json"), quiet)
		k.Begin()
		k.Use(remoteconfig.Parts{Check: check, Tell: b.tell})
		k.Take(desire(1, "moves"))
		if err := k.Run(t.Context()); !errors.Is(err, remoteconfig.ErrRestart) {
			t.Fatal(err)
		}
		k.Ready() // as the line goes down
		k.Begin()
		k.Use(remoteconfig.Parts{Check: check, Tell: b.tell, Confirm: true, Reachable: func(context.Context) bool { return false }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := k.Run(ctx); err != nil || len(b.heard()) != 0 {
			t.Errorf("told %+v (%v)", b.heard(), err)
		}
	})
}

// A configuration on trial that the cloud sends again goes on being tried; its
// trial does not begin anew.
func TestTrialIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := remoteconfig.Open(filepath.Join(t.TempDir(), "config.json"), quiet)
		k.Begin()
		k.Use(remoteconfig.Parts{Check: check, Tell: func(gateway.ConfigOutcome) {}})
		k.Take(desire(1, "moves"))
		if err := k.Run(t.Context()); !errors.Is(err, remoteconfig.ErrRestart) {
			t.Fatal(err)
		}
		k.Begin()
		k.Use(remoteconfig.Parts{Check: check, Tell: func(gateway.ConfigOutcome) {}, Confirm: true,
			Reachable: func(context.Context) bool { return false }})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		k.Take(desire(1, "moves"))
		synctest.Wait()
		select {
		case err := <-ended:
			t.Errorf("it begins anew: %v", err)
		default:
			cancel()
			<-ended
		}
	})
}

// What was in force before, wanted again while another is on trial, ends the
// trial.
func TestBackToWhatWasInForce(t *testing.T) {
	onBoard(t, func(b *board) {
		b.send(desire(1, "first"))
		b.want("first", applied)
		b.net.Store(false)
		b.send(desire(2, "moves"))
		b.want("moves")
		b.send(desire(3, "first"))
		b.want("first", applied)
	})
}
