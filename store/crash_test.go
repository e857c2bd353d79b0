package store_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
)

var imageSeed = flag.Uint64("imageseed", 0, "seed of TestCrashImages; 0: another one each time")

// A chapter is a life that the crash images are taken from.
type chapter struct {
	name   string
	share  int // of the images of a step that are made: one in so many
	change func(*store.Options)
	script func(*life)
}

var chapters = []chapter{
	{"births", 1, nil, births},
	{"outage", 1, nil, outage},
	{"commits before Append returns", 1, func(o *store.Options) { o.FlushInterval = 0 }, noInterval},
	{"cuts and splits", 1, nil, cutsAndSplits},
	{"acks", 1, func(o *store.Options) { o.History = 0 }, acks},
	{"limits", 40, func(o *store.Options) { o.MaxSize, o.Rate, o.Burst = 4<<20, 1e6, 5000 }, limits},
	{"thinning", 60, func(o *store.Options) {
		o.MaxSize, o.Rate, o.Burst, o.ThinInterval, o.History = 4<<20, 1e6, 5000, time.Second, 0
	}, thinning},
	{"merging", 12, func(o *store.Options) { o.History = 0 }, merging},
	{"damage", 6, nil, damage},
}

// births opens folders in which there is nothing, and stops soon.
func births(l *life) {
	nothing := func(storetest.Dir) storetest.Dir {
		l.ledger = storetest.NewLedger()
		return storetest.Dir{}
	}
	for n := range 48 {
		l.cut(nothing)
		if n%3 > 0 {
			l.give(1 + l.random.IntN(100))
			l.flush()
		}
		if n%2 > 0 {
			l.restart()
		}
	}
}

// outage flushes page after page, until the journal goes into a volume.
func outage(l *life) {
	for n := range 80 {
		l.give(1 + l.random.IntN(20))
		if n%10 == 9 {
			l.give(500) // more than a page
		}
		l.sleep(6 * time.Second)
	}
	l.give(9000) // too many for the journal
	l.flush()
	l.restart()
	l.give(100)
	l.flush()
}

func noInterval(l *life) {
	for range 30 {
		l.give(1 + l.random.IntN(50))
	}
}

func cutsAndSplits(l *life) {
	for range 7 {
		for range 1 + l.random.IntN(5) {
			l.give(1 + l.random.IntN(300))
			l.sleep(time.Duration(l.random.IntN(8)) * time.Second)
		}
		switch l.random.IntN(3) {
		case 0:
			l.restart()
		case 1:
			l.split()
		}
		l.give(l.random.IntN(100))
		l.cut(nil)
	}
	for range 6 { // volumes that may be merged
		l.give(500)
		l.restart()
	}
	l.sleep(3 * time.Hour)
}

// acks gives up what the cloud has for certain.
func acks(l *life) {
	for range 5 {
		l.give(1 + l.random.IntN(3000))
		l.sleep(6 * time.Second)
		l.restart()
		l.give(5000)
		l.flush()
		l.acknowledgeOf(func(last uint64) uint64 { return last / 2 })
		l.sleep(2 * time.Hour)
		l.give(200)
		l.acknowledge()
		l.split()
		l.give(5000)
		l.sleep(time.Minute)
		l.acknowledge()
		l.cut(nil)
	}
}

// limits writes far more than there is room for.
func limits(l *life) {
	l.ledger.Limited = true
	l.card.Off = true // while there is room it is like any other life
	for range 90 {
		l.give(5000)
		l.sleep(6 * time.Second)
	}
	l.card.Off = false
	l.card.Begin()
	for n := range 60 {
		l.give(5000)
		l.sleep(6 * time.Second)
		if n%20 == 19 {
			l.restart()
		}
	}
}

// thinning writes more than there is room for, of which the cloud has a part
// for certain.
func thinning(l *life) {
	l.ledger.Limited = true
	l.card.Off = true
	for range 30 {
		l.give(5000)
		l.sleep(6 * time.Second)
	}
	l.card.Off = false
	l.card.Begin()
	l.acknowledgeOf(func(last uint64) uint64 { return last / 4 })
	for n := range 34 {
		l.give(5000)
		l.sleep(6 * time.Second)
		if n == 28 {
			l.restart()
		}
	}
}

// merging leaves small volumes, which become one.
func merging(l *life) {
	for n := range 22 {
		l.give(50 + l.random.IntN(500))
		l.restart()
		l.sleep(7 * time.Second)
		if n == 15 {
			l.acknowledgeOf(func(last uint64) uint64 { return last / 2 })
		}
	}
}

// damage finds files broken, and saves what can be read.
func damage(l *life) {
	for range 6 {
		for range 3 {
			l.give(700)
			l.restart()
		}
		l.give(6000)
		l.flush()
		l.give(300)
		l.flush()
		l.ledger.Damaged = true
		l.cut(func(d storetest.Dir) storetest.Dir {
			broken := l.breakVolume(d)
			l.ledger.AtLeast = l.left(broken)
			return broken
		})
		l.sleep(time.Minute)
		l.restart()
	}
}

// left counts the readings that an opening finds in a damaged folder: a cut
// while they are saved must cost none of them.
func (l *life) left(d storetest.Dir) uint64 {
	l.Helper()
	o := l.o
	o.Dir, o.Card = filepath.Join(filepath.Dir(l.o.Dir), fmt.Sprint("broken", l.random.Uint64())), nil
	if err := d.Write(o.Dir); err != nil {
		l.Fatal(err)
	}
	s, err := store.Open(o)
	if err != nil {
		l.Fatal(err)
	}
	l.ledger.AtLeast = 0
	found, err := l.ledger.Audit(s)
	if err := errors.Join(err, s.Close()); err != nil {
		l.Fatal(err)
	}
	return found.Readings
}

// breakVolume overwrites the middle of a volume.
func (l *life) breakVolume(d storetest.Dir) storetest.Dir {
	names := slices.Sorted(maps.Keys(d))
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "log/") || !strings.HasSuffix(name, ".db") })
	if len(names) == 0 {
		l.Fatal("there is no volume to damage")
	}
	name := names[l.random.IntN(len(names))]
	content := bytes.Clone(d[name])
	for i := range 3000 {
		content[2*4096+l.random.IntN(4096)*i%(len(content)-2*4096)] ^= 0x55
	}
	other := maps.Clone(d)
	other[name] = content
	return other
}

// imagesOf is how many images are made of a step, at most: many where many
// differ.
var imagesOf = map[store.Point]int{
	store.PointSlot: 230, store.PointCommit: 180, store.PointState: 200, store.PointFile: 20,
	store.PointRename: 2, store.PointLink: 2, store.PointCut: 2, store.PointUnlink: 2, storetest.PointOutside: 4,
}

// wantImages is how many images are to be opened.
const wantImages = 50_000

// Whatever sectors of a write reach the card before the power is gone: the
// store opens, and every reading that was durable is there under its name.
func TestCrashImages(t *testing.T) {
	seed := *imageSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	part := 1 // of the steps: one in so many is cut
	if raced || testing.Short() {
		part = 25
	}
	x := &imager{T: t, seed: seed, part: part, count: map[string]int{}, jobs: make(chan job, 8)}
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // every opening makes an encoder of 4.5 MB
	began := time.Now()
	workers := x.start()
	for _, c := range chapters {
		if c.share > 10 && part > 1 {
			continue // large folders: long in the making alone
		}
		t.Logf("%6.1f s: %s", time.Since(began).Seconds(), c.name)
		live(t, seed, c.change, c.script, func(s told) { x.jobs <- job{s, c} })
		if t.Failed() {
			break
		}
	}
	close(x.jobs)
	workers.Wait()
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(x.count)) {
		total += x.count[kind]
		t.Logf("%7d images of: %s", x.count[kind], kind)
	}
	t.Logf("%7d crash images in %v, seed %d (-imageseed)", total, time.Since(began).Round(time.Second), seed)
	if total < wantImages/part/part {
		t.Errorf("%d images are too few, want %d", total, wantImages/part/part)
	}
	for point := range imagesOf {
		if !x.points[point] && point != storetest.PointOutside {
			t.Errorf("no step of kind %q was cut", point)
		}
	}
}
