package model

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A brokenRule is one that is switched off, to see that the judge sees. The nil
// brokenRule keeps all. What is not set is as it should be.
type brokenRule struct {
	append   appender                          // what storing does
	record   func(record.Record) record.Record // what is stored of a record
	newest   func(record.Record) record.Record // what servers are told of a record; one call at a time
	lossless bool                              // what the log loses it never had: it had acknowledged before it stored
	hasty    bool                              // the gateway gives up what is acknowledged, at once
	stubborn bool                              // the gateway never goes back
	patience time.Duration                     // 0: a minute; what such a log does to a gateway may never end
}

type appender func(ctx context.Context, to *jetstream.Log, id string, after uint64, r record.Record) (uint64, error)

// unfenced takes records from every session, as if each were the newest.
func unfenced() *brokenRule {
	return &brokenRule{append: func(ctx context.Context, to *jetstream.Log, id string, _ uint64, r record.Record) (uint64, error) {
		for range 5 { // two sessions may do so together
			last, err := to.Last(ctx, id)
			if err != nil && !errors.Is(err, record.ErrNoRecord) {
				return 0, err
			}
			r.Prev, r.PrevSeq = last.ID, last.Seq
			if seq, err := to.Append(ctx, id, last.Seq, r); err == nil {
				return seq, nil
			}
		}
		return 0, record.ErrUnavailable
	}}
}

// chainless takes a record for the next one whoever its writer knew as the
// newest: no record is void.
func chainless() *brokenRule {
	return &brokenRule{append: func(ctx context.Context, to *jetstream.Log, id string, after uint64, r record.Record) (uint64, error) {
		if last, err := to.Last(ctx, id); err == nil && last.Seq == after {
			r.Prev, r.PrevSeq = last.ID, last.Seq
		}
		return to.Append(ctx, id, after, r)
	}}
}

// untrimmed lets records count all of an update, what an earlier one holds too.
func untrimmed() *brokenRule {
	return &brokenRule{record: func(r record.Record) record.Record {
		if u := updateOf(r); u != nil {
			r.First, r.N = u.First, u.N
		}
		return r
	}}
}

// uncounted lets records of one kind count nothing.
func uncounted(kind record.Kind) func() *brokenRule {
	return func() *brokenRule {
		return &brokenRule{record: func(r record.Record) record.Record {
			if r.Kind == kind {
				r.N = 0
			}
			return r
		}}
	}
}

// endless does not keep the open ends of epochs.
func endless() *brokenRule {
	return &brokenRule{record: func(r record.Record) record.Record {
		if u := updateOf(r); u != nil && u.End != nil && u.End.Closed == nil {
			r.Kind, r.Epoch, r.First, r.N, r.Body = record.KindOpen, gateway.EpochID{}, 0, 0, nil // which says nothing
		}
		return r
	}}
}

// listed does not note that a gateway has forgotten an epoch.
func listed() *brokenRule {
	return &brokenRule{record: func(r record.Record) record.Record {
		r.State = strings.ReplaceAll(r.State+",", ":u,", ":-,")
		r.State = strings.TrimSuffix(r.State, ",")
		return r
	}}
}

// proud never says less of an epoch than it once said.
func proud() *brokenRule {
	most := marks{}
	return &brokenRule{newest: func(r record.Record) record.Record {
		r.State = most.raise(r.State)
		return r
	}}
}

// forgetful does not know, now and then, what it has.
func forgetful() *brokenRule {
	r := rand.New(rand.NewPCG(1, 4))
	return &brokenRule{newest: func(last record.Record) record.Record {
		if r.IntN(8) == 0 {
			last.State = ""
		}
		return last
	}}
}

func lossless() *brokenRule { return &brokenRule{lossless: true} }
func hasty() *brokenRule    { return &brokenRule{hasty: true} }
func stubborn() *brokenRule { return &brokenRule{stubborn: true, patience: 2 * time.Hour} }

// marks are the most that states have said, by epoch.
type marks map[string][]string

func (m marks) raise(state string) string {
	parts := strings.Split(state, ",")
	for i, part := range parts {
		f := strings.Split(part, ":")
		if len(f) != 3 || f[2] == "e" {
			continue
		}
		old := m[f[0]]
		if old == nil || len(f[1]) > len(old[1]) || len(f[1]) == len(old[1]) && f[1] > old[1] {
			m[f[0]] = slices.Clone(f)
		} else {
			f[1] = old[1]
			parts[i] = strings.Join(f, ":")
		}
	}
	return strings.Join(parts, ",")
}

func updateOf(r record.Record) *wire.Update {
	m, _ := wire.Decode(r.Body)
	u, _ := m.(*wire.Update)
	return u
}
