package store_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
)

// A flips is a store whose bits are to be flipped, one at a time.
type flips struct {
	Files  storetest.Dir
	Ledger *storetest.Ledger
	Seed   uint64
	Whole  uint64 // readings that are in it
	Gone   uint64 // names that gaps stand for
}

const (
	flipsInAll   = 10_000
	flipsAChild  = 200
	flipsInChild = "FIELDGATE_TEST_FLIPS" // file of flips, from, to: what a child of TestFlippedBits does
)

// TestMain is here for the children of TestFlippedBits.
func TestMain(m *testing.M) {
	if what := os.Getenv(flipsInChild); what != "" {
		if err := flipAll(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Single flipped bits anywhere in the files: the store opens, hands no damage
// on as data, leaves nothing out in silence, and nobody dies. Children take
// the risk.
func TestFlippedBits(t *testing.T) {
	n := flipsInAll
	if raced || testing.Short() {
		n /= 100
	}
	root := ramDir(t)
	file := filepath.Join(root, "flips.json")
	f := flippable(t)
	text, err := json.Marshal(f)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	c := &flipCount{T: t, flips: f, file: file, upto: n}
	for range runtime.GOMAXPROCS(0) {
		workers.Go(c.run)
	}
	workers.Wait()
	t.Logf("%d flipped bits: %d noticed, %d harmless, %d deaths, seed %d", n, c.noticed, c.harmless, c.deaths, f.Seed)
	if c.deaths > 0 || c.noticed+c.harmless != n || c.noticed == 0 {
		t.Errorf("%d of %d flipped bits had an outcome as it should be, %d were deaths", c.noticed+c.harmless, n, c.deaths)
	}
}

// flippable makes a store that has something of everything: volumes of closed
// and of interrupted epochs, what the cloud has, and a journal in use.
func flippable(t *testing.T) *flips {
	t.Helper()
	f := &flips{Seed: rand.Uint64()}
	live(t, f.Seed, func(o *store.Options) { o.History = 0 }, func(l *life) {
		l.give(800)
		l.restart()
		l.acknowledge()
		for range 2 {
			l.give(5000)
			l.flush()
			l.split()
			l.give(600)
			l.flush()
			l.cut(nil)
		}
		l.give(5000)
		l.flush()
		for range 6 {
			l.give(300)
			l.flush()
		}
		f.Files, f.Ledger = l.card.Look(), l.note()
	}, func(told) {})
	dir := filepath.Join(ramDir(t), "whole")
	if err := f.Files.Write(dir); err != nil {
		t.Fatal(err)
	}
	found, conditions, err := f.open(dir)
	if err != nil || len(conditions) > 0 {
		t.Fatalf("the undamaged store: %v, %v", err, conditions)
	}
	f.Whole, f.Gone, f.Ledger.Damaged = found.Readings, inGaps(found), true
	return f
}

func inGaps(found storetest.Found) (n uint64) {
	for _, in := range found.Gaps {
		n += in
	}
	return n
}

// open opens a store, walks through it and goes on with it.
func (f *flips) open(dir string) (found storetest.Found, conditions []health.Condition, err error) {
	table := health.New(quiet)
	o := testOptions(dir, clock.NewFake(gateway.BootID{2}))
	o.Conditions = table
	s, err := store.Open(o)
	if err != nil {
		return found, nil, err
	}
	found, err = f.Ledger.Audit(s)
	if err == nil {
		err = goOn(s, f.Ledger)
	}
	return found, table.List(), errors.Join(err, s.Close())
}

// flip gives the files with one bit flipped, and says which: in any file, more
// often where something is, and at the beginning of pages.
func (f *flips) flip(number uint64) (storetest.Dir, string) {
	random := rand.New(rand.NewPCG(f.Seed, number))
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(f.Files)), func(name string) bool { return len(f.Files[name]) == 0 })
	name := names[random.IntN(len(names))]
	content := bytes.Clone(f.Files[name])
	at := random.IntN(len(content))
	for range 3 * random.IntN(2) * random.IntN(2) * 10 {
		if page := content[at&^4095 : min(at|4095+1, len(content))]; len(bytes.Trim(page, "\x00")) > 0 {
			break
		}
		at = random.IntN(len(content))
	}
	if random.IntN(3) == 0 {
		at = min(at&^4095+random.IntN(80), len(content)-1)
	}
	bit := random.IntN(8)
	content[at] ^= 1 << bit
	files := maps.Clone(f.Files)
	files[name] = content
	return files, fmt.Sprintf("bit %d of byte %d of %s", bit, at, name)
}

// try flips one bit and tells whether that was noticed.
func (f *flips) try(dir string, number uint64) (noticed bool, err error) {
	files, where := f.flip(number)
	if err := errors.Join(os.RemoveAll(dir), files.Write(dir)); err != nil {
		return false, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: panic: %v", where, p)
		}
	}()
	found, conditions, err := f.open(dir)
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: %w; people are told %v", where, err, conditions)
	case len(conditions) == 0 && (found.Readings != f.Whole || inGaps(found) != f.Gone):
		return false, fmt.Errorf("%s: %d readings and %d in gaps, were %d and %d, and nobody is told",
			where, found.Readings, inGaps(found), f.Whole, f.Gone)
	}
	return len(conditions) > 0, nil
}

// flipAll is a child: it prints the outcome of each flip on a line.
func flipAll(what string) error {
	words := strings.Split(what, ",")
	text, err := os.ReadFile(words[0])
	if err != nil {
		return err
	}
	var f flips
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	from, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	upto, err := strconv.Atoi(words[2])
	if err != nil {
		return err
	}
	dir := filepath.Join(filepath.Dir(words[0]), "flips-"+words[1])
	defer os.RemoveAll(dir)
	for number := from; number < upto; number++ {
		noticed, err := f.try(dir, uint64(number))
		switch {
		case err != nil:
			fmt.Println("wrong", err)
		case noticed:
			fmt.Println("noticed")
		default:
			fmt.Println("harmless")
		}
	}
	return nil
}

type flipCount struct {
	*testing.T
	*flips
	file string
	upto int

	mu                        sync.Mutex
	next                      int
	noticed, harmless, deaths int
}

// run has children flip bits until all are done.
func (c *flipCount) run() {
	for {
		c.mu.Lock()
		from, upto := c.next, min(c.next+flipsAChild, c.upto)
		c.next = upto
		c.mu.Unlock()
		if from == upto {
			return
		}
		for from < upto {
			done, err := c.child(from, upto)
			from += done
			if from < upto {
				c.died(from, err)
				from++ // on behind the one that killed it
			}
		}
	}
}

func (c *flipCount) died(number int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaths++
	_, where := c.flip(uint64(number))
	c.Errorf("flip %d, %s, killed the process or hung it: %v", number, where, err)
}

// child runs one and counts the flips whose outcome it told.
func (c *flipCount) child(from, upto int) (done int, err error) {
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(unix.SIGQUIT) }, 10*time.Second // it tells where it hangs
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%d,%d", flipsInChild, c.file, from, upto))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %.6000s", err, exit.Stderr)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	c.mu.Lock()
	defer c.mu.Unlock()
	for lines.Scan() {
		done++
		switch word, rest, _ := strings.Cut(lines.Text(), " "); word {
		case "noticed":
			c.noticed++
		case "harmless":
			c.harmless++
		default:
			c.Errorf("flip %d: %s", from+done-1, rest)
		}
	}
	return done, err
}
