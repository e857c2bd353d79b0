package cloud

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A memLog is a Log as a page of plain Go, for tests of time and of faults.
type memLog struct {
	mu      sync.Mutex
	records []record.Record // of one gateway
	seq     uint64
	// fault says of an append whether it is carried out and what it answers.
	fault func() (stored bool, answer error)
	// late is given what was not carried out: it may arrive yet.
	late func(record.Record)
	// deaf makes Last fail.
	deaf func() error
	// unfenced switches the comparison of sequences off.
	unfenced bool
}

func (l *memLog) Last(context.Context, string) (record.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf != nil {
		if err := l.deaf(); err != nil {
			return record.Record{}, err
		}
	}
	if len(l.records) == 0 {
		return record.Record{}, record.ErrNoRecord
	}
	return l.records[len(l.records)-1], nil
}

func (l *memLog) Level() wire.Level { return wire.LevelReceived }

func (l *memLog) Append(ctx context.Context, _ string, after uint64, r record.Record) (uint64, error) {
	if ctx.Err() != nil {
		return 0, record.ErrUnavailable
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, answer := true, error(nil)
	if l.fault != nil {
		stored, answer = l.fault()
	}
	end := uint64(0)
	if n := len(l.records); n > 0 {
		end = l.records[n-1].Seq
	}
	if !stored {
		if l.late != nil {
			l.late(r)
		}
		return 0, answer
	}
	if end != after && !l.unfenced {
		return 0, record.ErrFenced
	}
	l.seq++
	r.Seq, r.At = l.seq, time.Now()
	l.records = append(l.records, r)
	return r.Seq, answer
}

func (l *memLog) Read(_ context.Context, _ string, from uint64) iter.Seq2[record.Record, error] {
	l.mu.Lock()
	defer l.mu.Unlock()
	copied := slices.Clone(l.records)
	return func(yield func(record.Record, error) bool) {
		for _, r := range copied {
			if r.Seq >= from && !yield(r, nil) {
				return
			}
		}
	}
}

// lose cuts the newest n records off, as a power cut without fsync does; the
// sequence goes back with them.
func (l *memLog) lose(n int) {
	l.records = l.records[:len(l.records)-n]
	l.seq -= uint64(n)
}
