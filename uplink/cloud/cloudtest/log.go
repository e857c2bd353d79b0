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

// A Log is a record.Log in memory, for tests of time and of faults.
type Log struct {
	Mu      sync.Mutex
	Records []record.Record // of all gateways; what a test puts there itself is of every gateway
	seq     uint64
	of      map[string]string // the gateway, by id of the record
	// Fault says of an append whether it is carried out and what it answers.
	Fault func() (stored bool, answer error)
	// Late is given what was not carried out: it may arrive yet.
	Late func(record.Record)
	// Deaf makes Last fail.
	Deaf func() error
	// Unfenced switches the comparison of sequences off.
	Unfenced bool
}

// Last implements record.Log.
func (l *Log) Last(_ context.Context, id string) (record.Record, error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	if l.Deaf != nil {
		if err := l.Deaf(); err != nil {
			return record.Record{}, err
		}
	}
	all := l.chainLocked(id)
	if len(all) == 0 {
		return record.Record{}, record.ErrNoRecord
	}
	return all[len(all)-1], nil
}

// chainLocked gives the records of a gateway.
func (l *Log) chainLocked(id string) []record.Record {
	var all []record.Record
	for _, r := range l.Records {
		if of, known := l.of[r.ID]; !known || of == id {
			all = append(all, r)
		}
	}
	return all
}

// Level implements record.Log.
func (l *Log) Level() wire.Level { return wire.LevelReceived }

// Append implements record.Log.
func (l *Log) Append(ctx context.Context, id string, after uint64, r record.Record) (uint64, error) {
	if ctx.Err() != nil {
		return 0, record.ErrUnavailable
	}
	l.Mu.Lock()
	defer l.Mu.Unlock()
	stored, answer := true, error(nil)
	if l.Fault != nil {
		stored, answer = l.Fault()
	}
	if !stored {
		if l.Late != nil {
			l.Late(r)
		}
		return 0, answer
	}
	end := uint64(0)
	if all := l.chainLocked(id); len(all) > 0 {
		end = all[len(all)-1].Seq
	}
	if end != after && !l.Unfenced {
		return 0, record.ErrFenced
	}
	if l.of == nil {
		l.of = map[string]string{}
	}
	l.of[r.ID] = id
	l.seq++
	r.Seq, r.At = l.seq, time.Now()
	l.Records = append(l.Records, r)
	return r.Seq, answer
}

// Read implements record.Log.
func (l *Log) Read(_ context.Context, id string, from uint64) iter.Seq2[record.Record, error] {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	all := slices.Clone(l.chainLocked(id))
	return func(yield func(record.Record, error) bool) {
		for _, r := range all {
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
