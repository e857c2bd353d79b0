package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/block"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

const (
	testRate  = 1000.0 // readings a second at most
	testBurst = 50     // and at one instant
)

func testOptions(dir string, c store.Clock) store.Options {
	return store.Options{
		Dir: dir, FlushInterval: 5 * time.Second, HistoryFlush: 10 * time.Minute, History: 30 * 24 * time.Hour,
		Rate: testRate, Burst: testBurst, Clock: c, Conditions: health.New(quiet), Log: quiet,
		Where: func(string) (files.Keeping, string) { return files.Durable, "" }, // wherever the test's folder lies
	}
}

// A plain is the store as a page of plain Go: what was appended, by epoch, and
// what the cloud has.
type plain struct {
	appended map[gateway.EpochID][]float64 // by seq-1
	crashed  map[gateway.EpochID]bool
	upto     map[gateway.EpochID]uint64
	done     map[gateway.EpochID]gateway.End
	received map[gateway.Name]float64
	gaps     map[gateway.Name]gateway.Why
	lostOnce map[gateway.Name]bool // the cloud had it, and lost it
	acked    map[gateway.EpochID]uint64
}

// A world is a store in its directory beside its model.
type world struct {
	t      *rapid.T
	dir    string
	clock  *clock.Fake
	s      *store.Store
	stop   func()
	m      plain
	next   float64 // value of the next reading: no two are alike
	dirs   int
	linked bool // a session was opened since the store was
	root   string
}

func newWorld(t *rapid.T, root string) *world {
	w := &world{t: t, root: root, clock: clock.NewFake(gateway.BootID{1}), m: plain{
		appended: map[gateway.EpochID][]float64{}, crashed: map[gateway.EpochID]bool{},
		upto: map[gateway.EpochID]uint64{}, done: map[gateway.EpochID]gateway.End{},
		received: map[gateway.Name]float64{}, gaps: map[gateway.Name]gateway.Why{}, lostOnce: map[gateway.Name]bool{},
		acked: map[gateway.EpochID]uint64{},
	}}
	w.dir = w.freshDir()
	w.open()
	return w
}

func (w *world) freshDir() string {
	w.dirs++
	return filepath.Join(w.root, fmt.Sprint(w.dirs))
}

func (w *world) open() {
	s, err := store.Open(testOptions(w.dir, w.clock))
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		_ = s.Run(ctx) // always nil
		close(ended)
	}()
	w.linked = false
	w.s, w.stop = s, func() { cancel(); <-ended }
}

func (w *world) growing() gateway.EpochID {
	es := w.s.Epochs()
	return es[len(es)-1].ID
}

// append adds readings at the greatest rate that is allowed.
func (w *world) append(n int) {
	id := w.growing()
	if _, used := w.m.appended[id]; !used && len(w.m.received) > 0 {
		for name := range w.m.received {
			if name.Epoch == id {
				w.t.Fatalf("epoch %v was used before", id)
			}
		}
	}
	for n > 0 {
		k := min(n, testBurst)
		rs := make([]gateway.Reading, k)
		for i := range rs {
			w.next++
			rs[i] = gateway.Reading{Channel: channel, Value: w.next, At: w.clock.Stamp()}
			w.m.appended[id] = append(w.m.appended[id], w.next)
		}
		last, err := w.s.Append(rs)
		if err != nil {
			w.t.Fatalf("append: %v", err)
		}
		if want := (gateway.Name{Epoch: id, Seq: uint64(len(w.m.appended[id]))}); last != want {
			w.t.Fatalf("append gave the name %v, want %v", last, want)
		}
		n -= k
		w.sleep(time.Duration(float64(k) / testRate * float64(time.Second)))
	}
}

var channel = &gateway.Channel{Device: "d", Quantity: "q", Unit: "V"}

func (w *world) sleep(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

// session is a new session of the cloud: welcome names every epoch of hello.
func (w *world) session(fsynced bool) {
	w.linked = true
	w.s.Session(fsynced, 10*time.Minute)
	for _, e := range w.s.Epochs() {
		_, done := w.m.done[e.ID]
		w.ack(e.ID, w.m.upto[e.ID], done)
	}
}

func (w *world) ack(id gateway.EpochID, upto uint64, done bool) {
	if err := w.s.Ack(id, upto, done); err != nil {
		w.t.Fatalf("ack %v %d %v: %v", id, upto, done, err)
	}
	w.m.acked[id] = max(w.m.acked[id], upto)
}

// drain sends up to n pieces, as the uplink does: oldest unfinished epoch
// first.
func (w *world) drain(n int) {
	if !w.linked {
		w.session(true)
	}
	for _, e := range w.s.Epochs() {
		for {
			end, done := w.m.done[e.ID]
			if done && e.Growth != gateway.Growing && (w.m.upto[e.ID] >= e.Last || !end.Closed) {
				w.ack(e.ID, w.m.upto[e.ID], true)
				if w.m.upto[e.ID] >= e.Last {
					break
				}
			}
			if n == 0 {
				return
			}
			n--
			if !w.send(e.ID) {
				break
			}
		}
	}
}

// send sends the next piece of an epoch and reports whether there was one.
func (w *world) send(id gateway.EpochID) bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	seq := w.m.upto[id] + 1
	b, err := w.s.Next(ctx, id, seq, rapid.SampledFrom([]int{0, 300, 4096}).Draw(w.t, "maxBytes"))
	if errors.Is(err, context.Canceled) {
		return false
	}
	if err != nil {
		w.t.Fatalf("next %v %d: %v", id, seq, err)
	}
	if b.Epoch != id || b.First != seq {
		w.t.Fatalf("next of %v at %d gave %v at %d", id, seq, b.Epoch, b.First)
	}
	w.receive(b)
	_, done := w.m.done[id]
	w.ack(id, w.m.upto[id], done)
	return !done
}

// receive is the cloud: it stores what is contiguous.
func (w *world) receive(b gateway.Block) {
	switch {
	case b.End != nil:
		w.m.done[b.Epoch] = *b.End
		return
	case b.Gap != nil:
		for seq := b.First; seq <= b.Last(); seq++ {
			w.m.gaps[gateway.Name{Epoch: b.Epoch, Seq: seq}] = b.Gap.Why
		}
	default:
		h, rs, err := block.NewDecoder().Decode(b.Data)
		if err != nil || h.Range != b.Range || uint64(len(rs)) != b.N {
			w.t.Fatalf("block %v decodes to %v, %d readings, %v", b.Range, h.Range, len(rs), err)
		}
		for i, r := range rs {
			w.m.received[gateway.Name{Epoch: b.Epoch, Seq: b.First + uint64(i)}] = r.Value
		}
	}
	w.m.upto[b.Epoch] = b.Last()
}

// loseTail is the cloud losing the last records that it had not synced.
func (w *world) loseTail(id gateway.EpochID, n uint64) {
	upto := w.m.upto[id]
	n = min(n, upto)
	for seq := upto - n + 1; seq <= upto; seq++ {
		name := gateway.Name{Epoch: id, Seq: seq}
		delete(w.m.received, name)
		delete(w.m.gaps, name)
		w.m.lostOnce[name] = true
	}
	w.m.upto[id] = upto - n
	delete(w.m.done, id)
	w.session(true)
}

// split ends the growing epoch, unless it is empty.
func (w *world) split() {
	old := w.growing()
	id, err := w.s.Split()
	if err != nil {
		w.t.Fatalf("split: %v", err)
	}
	if id != w.growing() || (id == old) != (len(w.m.appended[old]) == 0) {
		w.t.Fatalf("split gave %v, %v grows, after %v with %d readings", id, w.growing(), old, len(w.m.appended[old]))
	}
}

func (w *world) close() {
	w.stop()
	if err := w.s.Close(); err != nil {
		w.t.Fatalf("close: %v", err)
	}
}

// crash leaves the store as it is on the card at this moment.
func (w *world) crash() {
	id := w.growing()
	w.m.crashed[id] = true
	dir := w.freshDir()
	synctest.Wait() // what a cut leaves in the middle of a write is for the crash images
	if err := os.CopyFS(dir, os.DirFS(w.dir)); err != nil {
		w.t.Fatal(err)
	}
	w.close()
	w.dir = dir
	w.open()
}

// audit drains everything and looks for every reading ever appended.
func (w *world) audit() {
	w.drain(-1)
	for id, values := range w.m.appended {
		var missing uint64
		for i, want := range values {
			name := gateway.Name{Epoch: id, Seq: uint64(i) + 1}
			got, held := w.m.received[name]
			why, gap := w.m.gaps[name]
			switch {
			case held && got != want:
				w.t.Fatalf("%v/%d came back as %v, was %v", id, name.Seq, got, want)
			case held:
			case gap && why == gateway.WhyForgottenAfterAck && (w.m.lostOnce[name] || name.Seq <= w.m.acked[id]):
			case !gap && w.m.crashed[id] && name.Seq > w.m.upto[id]:
				missing++
			default:
				w.t.Fatalf("%v/%d is neither with the cloud nor in the gap it should be in (gap %q, upto %d, crashed %v)",
					id, name.Seq, why, w.m.upto[id], w.m.crashed[id])
			}
		}
		if end, ended := w.m.done[id]; missing > 0 && (!ended || end.Closed || end.Why != gateway.WhyUncleanStop || missing > end.AtMost) {
			w.t.Fatalf("epoch %v lost %d readings to a crash and ended with %+v", id, missing, end)
		}
	}
}

// The store against its model: whatever happens, every reading is accounted
// for, under one name.
func TestModel(t *testing.T) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		root := filepath.Join(t.TempDir(), fmt.Sprint(run))
		inBubble(t, func() { history(rt, root) })
		_ = os.RemoveAll(root) // a later run needs the space, not the files
	})
}

// inBubble runs f in virtual time and hands on its panic, by which rapid ends
// a run that failed.
func inBubble(t *testing.T, f func()) {
	var failed any
	synctest.Test(t, func(*testing.T) {
		defer func() { failed = recover() }()
		f()
	})
	if failed != nil {
		panic(failed)
	}
}

// history is one life of a store.
func history(rt *rapid.T, root string) {
	w := newWorld(rt, root)
	defer func() { w.stop(); _ = w.s.Close() }()
	rt.Repeat(map[string]func(*rapid.T){
		"append":  func(rt *rapid.T) { w.append(rapid.IntRange(1, 700).Draw(rt, "n")) },
		"sleep":   func(rt *rapid.T) { w.sleep(time.Duration(rapid.IntRange(1, 700).Draw(rt, "s")) * time.Second) },
		"drain":   func(rt *rapid.T) { w.drain(rapid.IntRange(1, 8).Draw(rt, "n")) },
		"session": func(rt *rapid.T) { w.session(rapid.Bool().Draw(rt, "fsynced")) },
		"lose": func(rt *rapid.T) {
			es := w.s.Epochs()
			w.loseTail(es[rapid.IntRange(0, len(es)-1).Draw(rt, "epoch")].ID, uint64(rapid.IntRange(1, 300).Draw(rt, "n")))
		},
		"split":  func(*rapid.T) { w.split() },
		"reopen": func(*rapid.T) { w.close(); w.open() },
		"crash":  func(*rapid.T) { w.crash() },
	})
	w.session(true)
	w.audit()
}
