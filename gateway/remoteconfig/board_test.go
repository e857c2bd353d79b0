package remoteconfig_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

func (p problems) Error() string { return "several problems" }

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
