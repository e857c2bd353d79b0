package model

import (
	"context"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fieldgate/fieldgate/store/storetest"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// answerWithin is how long a server waits for its log.
const answerWithin = 5 * time.Second

// A faulty is the way to the log, which loses requests and answers and lets
// some arrive late, when nobody waits for them any more. What lies at its end
// can be exchanged.
type faulty struct {
	ruleOff *brokenRule
	late    sync.WaitGroup // requests under way that nobody waits for

	mu     sync.Mutex
	to     *jetstream.Log // nil: nobody answers
	r      *rand.Rand
	sick   int  // in a thousand appends so many go wrong
	astray bool // the next one goes astray
	strays []*stray

	hearers map[*hearer]bool

	dir  string        // of the present log
	fuse int           // records until it crashes; 0: it does not
	fell storetest.Dir // what a crash has left of dir; nobody answers any more
}

// A stray is an append on its way that nobody waits for. It arrives after a
// while or, which is the worst of all moments, as soon as another record stands
// in the place of the one that it was meant to follow.
type stray struct {
	after uint64
	r     record.Record
}

func (f *faulty) exchange(to *jetstream.Log) (old *jetstream.Log) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, f.to = f.to, to
	f.fell, f.fuse = nil, 0
	for h := range f.hearers {
		h.on(to)
	}
	return old
}

func (f *faulty) setSick(sick int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sick = sick
}

func (f *faulty) loseNext() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.astray = true
}

func (f *faulty) end() *jetstream.Log {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fell != nil {
		return nil
	}
	return f.to
}

// The ways in which an append goes.
const (
	fine    = iota
	slow    // it arrives after a while
	refused // it does not, and the answer says so
	gone    // it does not, and nobody answers
	unheard // it does, and the answer is lost
	belated // nobody answers; it arrives when the server has given it up
	ways
)

func (f *faulty) draw() (way int, after time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after = time.Duration(f.r.IntN(60_000)) * time.Millisecond
	switch {
	case f.astray:
		f.astray = false
		return belated, after
	case f.r.IntN(1000) < f.sick:
		return 1 + f.r.IntN(ways-1), after
	}
	return fine, 0
}

// Append implements record.Log.
func (f *faulty) Append(ctx context.Context, id string, after uint64, r record.Record) (uint64, error) {
	way, pause := f.draw()
	switch way {
	case slow:
		time.Sleep(pause)
	case refused:
		return 0, record.ErrFull
	case gone:
		time.Sleep(answerWithin)
		return 0, record.ErrUnavailable
	case unheard:
		_, _ = f.append(ctx, id, after, r)
		time.Sleep(answerWithin)
		return 0, record.ErrUnavailable
	case belated:
		f.stray(ctx, id, &stray{after, r}, pause)
		time.Sleep(answerWithin)
		return 0, record.ErrUnavailable
	}
	seq, err := f.append(ctx, id, after, r)
	if err == nil {
		f.arrive(ctx, id, seq)
	}
	return seq, err
}

// stray lets an append go astray.
func (f *faulty) stray(ctx context.Context, id string, s *stray, pause time.Duration) {
	f.mu.Lock()
	f.strays = append(f.strays, s)
	f.mu.Unlock()
	f.late.Go(func() {
		time.Sleep(answerWithin + pause)
		f.mu.Lock()
		i := slices.Index(f.strays, s)
		if i >= 0 {
			f.strays = slices.Delete(f.strays, i, i+1)
		}
		f.mu.Unlock()
		if i >= 0 {
			_, _ = f.append(context.WithoutCancel(ctx), id, s.after, s.r)
		}
	})
}

// arrive lets a stray append arrive behind the record that has taken the place
// of the one that it was meant to follow.
func (f *faulty) arrive(ctx context.Context, id string, seq uint64) {
	f.mu.Lock()
	i := slices.IndexFunc(f.strays, func(s *stray) bool { return s.after == seq })
	if i < 0 {
		f.mu.Unlock()
		return
	}
	s := f.strays[i]
	f.strays = slices.Delete(f.strays, i, i+1)
	f.mu.Unlock()
	_, _ = f.append(context.WithoutCancel(ctx), id, seq, s.r)
}

// append hands a record to whatever log there is at that moment.
func (f *faulty) append(ctx context.Context, id string, after uint64, r record.Record) (uint64, error) {
	to := f.end()
	if to == nil {
		return 0, record.ErrUnavailable
	}
	if f.ruleOff != nil && f.ruleOff.record != nil {
		r = f.ruleOff.record(r)
	}
	if f.ruleOff != nil && f.ruleOff.append != nil {
		return f.ruleOff.append(ctx, to, id, after, r)
	}
	seq, err := to.Append(ctx, id, after, r)
	if err == nil {
		if f.burn(seq); f.end() == nil {
			return 0, record.ErrUnavailable
		}
	}
	return seq, err
}

// Last implements record.Log.
func (f *faulty) Last(ctx context.Context, id string) (record.Record, error) {
	to := f.end()
	if to == nil {
		return record.Record{}, record.ErrUnavailable
	}
	r, err := to.Last(ctx, id)
	return f.told(r), err
}

// told is what servers are told of a record.
func (f *faulty) told(r record.Record) record.Record {
	if f.ruleOff == nil || f.ruleOff.newest == nil {
		return r
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ruleOff.newest(r)
}

// Read implements record.Log.
func (f *faulty) Read(ctx context.Context, id string, from uint64) iter.Seq2[record.Record, error] {
	to := f.end()
	if to == nil {
		return func(yield func(record.Record, error) bool) { yield(record.Record{}, record.ErrUnavailable) }
	}
	return func(yield func(record.Record, error) bool) {
		for r, err := range to.Read(ctx, id, from) {
			if !yield(f.told(r), err) {
				return
			}
		}
	}
}

// Level implements record.Log.
func (f *faulty) Level() wire.Level { return wire.LevelFsynced }

// A gate is one server's way to the log, shut when that server is killed.
type gate struct {
	record.Log
	dead atomic.Bool
	fuse atomic.Int32 // appends until it is killed; 0 or less: it is not
}

func (g *gate) Append(ctx context.Context, id string, after uint64, r record.Record) (uint64, error) {
	if g.dead.Load() {
		return 0, record.ErrUnavailable
	}
	if g.fuse.Add(-1) == 0 {
		g.dead.Store(true)
		if r.ID[0]%2 == 0 { // half of the time what it had sent to its log arrives
			_, _ = g.Log.Append(ctx, id, after, r)
		}
		return 0, record.ErrUnavailable
	}
	return g.Log.Append(ctx, id, after, r)
}

func (g *gate) Last(ctx context.Context, id string) (record.Record, error) {
	if g.dead.Load() {
		return record.Record{}, record.ErrUnavailable
	}
	return g.Log.Last(ctx, id)
}
