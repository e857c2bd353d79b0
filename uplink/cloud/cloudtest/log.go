package cloudtest

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A Log is a Log as a page of plain Go, for tests of time and of faults.
type Log struct {
	Mu      sync.Mutex
	Records []record.Record // of one gateway
	seq     uint64
	// Fault says of an append whether it is carried out and what it answers.
	Fault func() (stored bool, answer error)
	// Late is given what was not carried out: it may arrive yet.
	Late func(record.Record)
	// Deaf makes Last fail.
	Deaf func() error
	// Unfenced switches the comparison of sequences off.
	Unfenced bool
}

func (l *Log) Last(context.Context, string) (record.Record, error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	if l.Deaf != nil {
		if err := l.Deaf(); err != nil {
			return record.Record{}, err
		}
	}
	if len(l.Records) == 0 {
		return record.Record{}, record.ErrNoRecord
	}
	return l.Records[len(l.Records)-1], nil
}

func (l *Log) Level() wire.Level { return wire.LevelReceived }

func (l *Log) Append(ctx context.Context, _ string, after uint64, r record.Record) (uint64, error) {
	if ctx.Err() != nil {
		return 0, record.ErrUnavailable
	}
	l.Mu.Lock()
	defer l.Mu.Unlock()
	stored, answer := true, error(nil)
	if l.Fault != nil {
		stored, answer = l.Fault()
	}
	end := uint64(0)
	if n := len(l.Records); n > 0 {
		end = l.Records[n-1].Seq
	}
	if !stored {
		if l.Late != nil {
			l.Late(r)
		}
		return 0, answer
	}
	if end != after && !l.Unfenced {
		return 0, record.ErrFenced
	}
	l.seq++
	r.Seq, r.At = l.seq, time.Now()
	l.Records = append(l.Records, r)
	return r.Seq, answer
}

func (l *Log) Read(_ context.Context, _ string, from uint64) iter.Seq2[record.Record, error] {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	copied := slices.Clone(l.Records)
	return func(yield func(record.Record, error) bool) {
		for _, r := range copied {
			if r.Seq >= from && !yield(r, nil) {
				return
			}
		}
	}
}

// Lose cuts the newest n records off, as a power cut without fsync does; the
// sequence goes back with them.
func (l *Log) Lose(n int) {
	l.Records = l.Records[:len(l.Records)-n]
	l.seq -= uint64(n)
}
