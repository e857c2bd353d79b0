package model

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A blindness is a rule that a log does not keep, to see that the judge sees.
type blindness int

const (
	seeing    blindness = iota
	unfenced            // it takes records from every session, as if each were the newest
	untrimmed           // its records hold all of an update, what an earlier one holds too
)

// answerWithin is how long a server waits for its log.
const answerWithin = 5 * time.Second

// A faulty is the way to the log, which loses requests and answers and lets
// some arrive late, when nobody waits for them any more. What lies at its end
// can be exchanged.
type faulty struct {
	blind blindness
	late  sync.WaitGroup // requests under way that nobody waits for

	mu   sync.Mutex
	to   *jetstream.Log // nil: nobody answers
	r    *rand.Rand
	sick int // in a thousand appends so many go wrong
}

func (f *faulty) exchange(to *jetstream.Log) (old *jetstream.Log) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, f.to = f.to, to
	return old
}

func (f *faulty) setSick(sick int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sick = sick
}

func (f *faulty) end() *jetstream.Log {
	f.mu.Lock()
	defer f.mu.Unlock()
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
	if f.r.IntN(1000) >= f.sick {
		return fine, 0
	}
	return 1 + f.r.IntN(ways-1), time.Duration(f.r.IntN(60_000)) * time.Millisecond
}

// Append implements cloud.Log.
func (f *faulty) Append(ctx context.Context, id string, after uint64, r cloud.Record) (uint64, error) {
	way, pause := f.draw()
	switch way {
	case slow:
		time.Sleep(pause)
	case refused:
		return 0, cloud.ErrFull
	case gone:
		time.Sleep(answerWithin)
		return 0, cloud.ErrUnavailable
	case unheard:
		_, _ = f.append(ctx, id, after, r)
		time.Sleep(answerWithin)
		return 0, cloud.ErrUnavailable
	case belated:
		f.late.Go(func() {
			time.Sleep(answerWithin + pause)
			_, _ = f.append(context.WithoutCancel(ctx), id, after, r)
		})
		time.Sleep(answerWithin)
		return 0, cloud.ErrUnavailable
	}
	return f.append(ctx, id, after, r)
}

// append hands a record to whatever log there is at that moment.
func (f *faulty) append(ctx context.Context, id string, after uint64, r cloud.Record) (uint64, error) {
	to := f.end()
	if to == nil {
		return 0, cloud.ErrUnavailable
	}
	switch f.blind {
	case unfenced:
		return f.anywhere(ctx, to, id, r)
	case untrimmed:
		r = whole(r)
	}
	return to.Append(ctx, id, after, r)
}

// anywhere appends behind whatever is the newest record.
func (f *faulty) anywhere(ctx context.Context, to *jetstream.Log, id string, r cloud.Record) (uint64, error) {
	for range 5 { // two sessions may do so together
		last, err := to.Last(ctx, id)
		if err != nil && !errors.Is(err, cloud.ErrNoRecord) {
			return 0, err
		}
		r.Prev, r.PrevSeq = last.ID, last.Seq
		if seq, err := to.Append(ctx, id, last.Seq, r); err == nil {
			return seq, nil
		}
	}
	return 0, cloud.ErrUnavailable
}

// whole lets a record count all that its body holds.
func whole(r cloud.Record) cloud.Record {
	m, err := wire.Decode(r.Body)
	if u, ok := m.(*wire.Update); err == nil && ok {
		r.First, r.N = u.First, u.N
	}
	return r
}

// Last implements cloud.Log.
func (f *faulty) Last(ctx context.Context, id string) (cloud.Record, error) {
	if to := f.end(); to != nil {
		return to.Last(ctx, id)
	}
	return cloud.Record{}, cloud.ErrUnavailable
}

// Read implements cloud.Log.
func (f *faulty) Read(ctx context.Context, id string, from uint64) iter.Seq2[cloud.Record, error] {
	if to := f.end(); to != nil {
		return to.Read(ctx, id, from)
	}
	return func(yield func(cloud.Record, error) bool) { yield(cloud.Record{}, cloud.ErrUnavailable) }
}

// Level implements cloud.Log.
func (f *faulty) Level() wire.Level { return wire.LevelFsynced }

// A gate is one server's way to the log, shut when that server is killed.
type gate struct {
	cloud.Log
	dead atomic.Bool
}

func (g *gate) Append(ctx context.Context, id string, after uint64, r cloud.Record) (uint64, error) {
	if g.dead.Load() {
		return 0, cloud.ErrUnavailable
	}
	return g.Log.Append(ctx, id, after, r)
}

func (g *gate) Last(ctx context.Context, id string) (cloud.Record, error) {
	if g.dead.Load() {
		return cloud.Record{}, cloud.ErrUnavailable
	}
	return g.Log.Last(ctx, id)
}
