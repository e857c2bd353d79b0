package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/store/storetest"
)

type job struct {
	told
	chapter
}

// An imager opens images.
type imager struct {
	*testing.T
	seed   uint64
	part   int
	jobs   chan job
	number atomic.Uint64
	failed atomic.Bool

	mu     sync.Mutex
	count  map[string]int
	points map[store.Point]bool
}

func (x *imager) start() *sync.WaitGroup {
	x.points = map[store.Point]bool{}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		root := ramDir(x.T)
		workers.Go(func() {
			for j := range x.jobs {
				x.step(root, j)
			}
		})
	}
	return &workers
}

// ramDir gives a folder in memory, where there is one.
func ramDir(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("/dev/shm", "fieldgate-images-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	return root
}

// step opens the images of one step.
func (x *imager) step(root string, j job) {
	number := x.number.Add(1)
	n, many := imagesOf[j.Point], imagesOf[j.Point] > 4
	if number%uint64(x.part) > 0 && many {
		return
	}
	if raced && number%4 > 0 && !many && x.cut(j.Point) {
		return // the race detector makes an opening many times slower
	}
	random := rand.New(rand.NewPCG(x.seed, number))
	if many {
		n = max(3, n/x.part/j.share)
	}
	for d := range storetest.Cuts(j.Recorded, n, random) {
		if x.failed.Load() {
			return
		}
		if err := x.open(root, d, j); err != nil {
			x.failed.Store(true)
			x.Errorf("seed %d, %q, step %d (%s %s): %v", x.seed, j.name, number, j.Point, j.Path, err)
			return
		}
	}
}

// cut tells whether a step of this kind was cut already.
func (x *imager) cut(p store.Point) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.points[p]
}

func (x *imager) open(root string, d storetest.Dir, j job) error {
	dir := filepath.Join(root, "store")
	if err := errors.Join(os.RemoveAll(dir), d.Write(dir)); err != nil {
		return err
	}
	x.mu.Lock()
	x.count[fmt.Sprintf("%-8s %s", j.Point, kindOf(j.Path))]++
	x.points[j.Point] = true
	x.mu.Unlock()
	return judge(dir, j.ledger, j.change)
}

// kindOf tells what a file is.
func kindOf(path string) string {
	switch {
	case path == "":
		return "names and files between steps"
	case strings.HasPrefix(path, "log"):
		return "a volume"
	}
	return filepath.Base(path)
}

// judge opens a store as a cut left it, compares it with what had been
// promised, and goes on with it.
func judge(dir string, ledger *storetest.Ledger, change func(*store.Options)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	table := health.New(quiet)
	o := testOptions(dir, clock.NewFake(gateway.BootID{2}))
	if change != nil {
		change(&o)
	}
	o.Conditions, o.Card = table, nil
	o.FlushInterval = 5 * time.Second // nobody runs the store: Append must not wait
	s, err := store.Open(o)
	if err != nil {
		return err
	}
	found, err := ledger.Audit(s)
	if err == nil {
		err = asPromised(ledger, found, table)
	}
	if err == nil {
		err = goOn(s, ledger)
	}
	return errors.Join(err, s.Close())
}

// asPromised looks at what is told.
func asPromised(ledger *storetest.Ledger, found storetest.Found, table *health.Table) error {
	if found.Readings < ledger.AtLeast {
		return fmt.Errorf("%d readings are left, want at least %d", found.Readings, ledger.AtLeast)
	}
	for _, c := range table.List() {
		if c.Code == store.ConditionCard || c.Code == store.ConditionDamage && c.Severity == health.Error && !ledger.Damaged {
			return fmt.Errorf("people are told: %s", c.Sentence)
		}
	}
	return nil
}

// goOn writes and reads a little.
func goOn(s *store.Store, ledger *storetest.Ledger) error {
	rs := []gateway.Reading{{Channel: channel, Value: 1}, {Channel: channel, Value: 2}}
	last, err := s.Append(rs)
	if err != nil {
		return err
	}
	if _, used := ledger.Epochs[last.Epoch]; used || last.Seq != 2 {
		return fmt.Errorf("the new readings are named up to %v", last)
	}
	if err := s.Flush(); err != nil {
		return err
	}
	b, err := s.Next(context.Background(), last.Epoch, 1, 0)
	if err != nil {
		return err
	}
	if _, back, err := block.NewDecoder().Decode(b.Data); err != nil || len(back) != 2 || back[1].Value != 2 {
		return fmt.Errorf("the new readings came back as %v: %v", back, err)
	}
	return nil
}
