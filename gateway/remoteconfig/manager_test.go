package remoteconfig_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/remoteconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// A board runs by what a Manager gives it. What a document does is in its
// words: "bad" is not one, "unfit" cannot be put in force, "dead" reaches no
// cloud, "moves" changes the uplink, "kills" ends the process as it starts.
type board struct {
	*testing.T
	path string
	net  atomic.Bool // the network works

	mu      sync.Mutex
	k       *remoteconfig.Manager
	inForce string
	told    []gateway.ConfigOutcome
	deaths  int
	unfits  int // tried in vain

	stop func()
}

func onBoard(t *testing.T, test func(b *board)) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{T: t, path: filepath.Join(t.TempDir(), "config.json")}
		b.net.Store(true)
		b.start()
		test(b)
		b.stop()
	})
}

type problems []string

func (p problems) Error() string      { return "several problems" }
func (p problems) Problems() []string { return p }

// start is the start of the process.
func (b *board) start() {
	k := remoteconfig.Open(b.path, quiet)
	b.mu.Lock()
	b.k = k
	b.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.live(ctx, k) })
	b.stop = func() { cancel(); wg.Wait() }
	synctest.Wait()
}

func (b *board) live(ctx context.Context, k *remoteconfig.Manager) {
	for ctx.Err() == nil {
		d, onTrial := k.Begin()
		doc := "own"
		if d != nil {
			doc = d.Doc
		}
		if strings.Contains(doc, "kills") {
			b.mu.Lock()
			b.deaths++
			b.mu.Unlock()
			k = remoteconfig.Open(b.path, quiet) // systemd starts it anew
			b.mu.Lock()
			b.k = k
			b.mu.Unlock()
			continue
		}
		if strings.Contains(doc, "unfit") {
			b.mu.Lock()
			b.unfits++
			b.mu.Unlock()
			k.Failed(errors.New("port in use"))
			continue
		}
		b.mu.Lock()
		b.inForce = doc
		b.mu.Unlock()
		moves := strings.Contains(doc, "moves") || strings.Contains(doc, "dead")
		k.Use(remoteconfig.Parts{Check: check, Tell: b.tell, Confirm: onTrial && moves,
			Reachable: func(context.Context) bool { return b.net.Load() }})
		if !strings.Contains(doc, "dead") && b.net.Load() {
			k.Ready()
		}
		if err := k.Run(ctx); err != nil && !errors.Is(err, remoteconfig.ErrRestart) {
			b.Errorf("run ended with %v", err)
		}
	}
}

func check(d gateway.DesiredConfig) error {
	if n, text, many := strings.Cut(d.Doc, " problems: "); many {
		count, _ := strconv.Atoi(n)
		return problems(slices.Repeat([]string{text}, count))
	}
	if strings.Contains(d.Doc, "bad") {
		return fmt.Errorf("check: %w", problems{"line 1", "line 2"})
	}
	return nil
}

func (b *board) tell(o gateway.ConfigOutcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, o)
}

func (b *board) heard() []gateway.ConfigOutcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.told)
}

func desire(ver uint64, doc string) gateway.DesiredConfig {
	sum := sha256.Sum256([]byte(doc))
	return gateway.DesiredConfig{Ver: ver, Doc: doc, Hash: hex.EncodeToString(sum[:]), Confirm: time.Minute}
}

func (b *board) send(d gateway.DesiredConfig) {
	b.mu.Lock()
	k := b.k
	b.mu.Unlock()
	k.Take(d)
	synctest.Wait()
}

func (b *board) want(inForce string, told ...gateway.ConfigState) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var states []gateway.ConfigState
	for _, o := range b.told {
		states = append(states, o.State)
	}
	if b.inForce != inForce || !slices.Equal(states, told) {
		b.Errorf("in force is %q, told %v; want %q, %v", b.inForce, states, inForce, told)
	}
	b.told = nil
}

const (
	applied    = gateway.ConfigApplied
	rejected   = gateway.ConfigRejected
	rolledBack = gateway.ConfigRolledBack
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
