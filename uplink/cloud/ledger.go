package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	ledgerName  = "ledger"        // of the consumer
	ledgerBatch = 8192            // records entered between two saves, at most: who is behind saves each gateway once for many
	ledgerPause = 2 * time.Second // between two saves, unless there are more records than a batch
	ledgerBooks = 4096            // gateways at hand
)

// A ledger keeps a book for every gateway, from the log's feed, on the shelf.
// What it has entered outlives the log.
type ledger struct {
	log    record.Log
	feed   record.Feed
	shelf  record.KV
	logger *slog.Logger
	pause  time.Duration
	note   func(ctx context.Context, gatewayID string, e *wire.Event) error // told of results and reports, before it is saved that they were entered; may be nil
	births func(gatewayID string, born []time.Time)                         // told of what was saved; may be nil

	books  map[string]*book // owned by the consumer
	saved  time.Time        // likewise
	events []event          // of the batch; likewise

	entered atomic.Uint64 // records
	behind  atomic.Int64  // ms between when the newest entered record came and when it was entered
}

// An event is one of a gateway.
type event struct {
	gatewayID string
	*wire.Event
}

// run consumes the feed until ctx is done.
func (l *ledger) run(ctx context.Context) {
	l.books = map[string]*book{}
	err := l.feed.Consume(ctx, ledgerName, ledgerBatch, l.take)
	if err != nil && ctx.Err() == nil {
		l.logger.Error("the ledger has stopped; what the log holds is not lost, and is entered when the server starts again", "error", err)
	}
}

// take enters a batch and saves what it changed. After an error nothing is
// remembered that is not saved: the batch comes again.
func (l *ledger) take(ctx context.Context, batch []record.Entry) error {
	if wait := l.pause - time.Since(l.saved); len(batch) < ledgerBatch && wait > 0 {
		select {
		case <-time.After(wait): // meanwhile more comes, which the next save takes along
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	touched := map[string]*book{}
	l.events = l.events[:0]
	err := l.enter(ctx, batch, touched)
	for _, x := range l.events {
		if err == nil && l.note != nil {
			err = l.note(ctx, x.gatewayID, x.Event)
		}
	}
	if err == nil {
		var books []*book
		for _, b := range touched {
			books = append(books, b)
		}
		err = save(ctx, l.shelf, books)
	}
	if err != nil {
		clear(l.books)
		return err
	}
	l.saved = time.Now()
	for id, b := range touched {
		if l.births != nil {
			l.births(id, b.page.Born)
		}
	}
	l.entered.Add(uint64(len(batch)))
	l.behind.Store(time.Since(batch[len(batch)-1].At).Milliseconds())
	for id := range l.books {
		if len(l.books) <= ledgerBooks {
			break
		}
		delete(l.books, id)
	}
	return nil
}

func (l *ledger) enter(ctx context.Context, batch []record.Entry, touched map[string]*book) error {
	for _, e := range batch {
		b := l.books[e.GatewayID]
		if b == nil {
			b = newBook(e.GatewayID, l.log, l.shelf)
			b.joined = func(j join) { l.tellJoin(e.GatewayID, j) }
			b.happened = func(ev *wire.Event) {
				if ev.Kind == gateway.EventResult || ev.Kind == gateway.EventConfig {
					l.events = append(l.events, event{e.GatewayID, ev})
				}
			}
			if err := b.open(ctx); err != nil {
				return err
			}
			l.books[e.GatewayID] = b
		}
		touched[e.GatewayID] = b
		if err := b.enter(ctx, e.Record); err != nil {
			return fmt.Errorf("enter record %d of %s: %w", e.Seq, e.GatewayID, err)
		}
	}
	return nil
}

func (l *ledger) tellJoin(gatewayID string, j join) {
	l.logger.Error("the log has lost records that the ledger had entered; what the gateway still holds it sends again, the rest may be lost",
		"gateway", gatewayID, "record", j.Seq, "all", j.Anew, "epochs", len(j.Epochs))
}

// settled gives, for one session, what the ledger knows of an epoch that ended
// and is proved: the state may forget it. It is false of all others, and of
// those that the log has lost since.
func (s *Server) settled() recall {
	compared, intact := false, false // the book is not kept: sessions are many, and long
	return func(ctx context.Context, gatewayID string, e gateway.EpochID) (record.EpochState, bool, error) {
		none := record.EpochState{ID: e, End: record.EndNone}
		b := newBook(gatewayID, s.opt.Log, s.opt.KV)
		if !compared {
			err := b.open(ctx)
			if err == nil {
				intact, err = b.intact(ctx)
			}
			if err != nil {
				return none, false, err
			}
			compared = true
		}
		var a account
		found, err := b.get(ctx, b.accountKey(e), &a)
		if err != nil || !found || !a.Settled || a.LogLost != nil {
			return none, false, err
		}
		if !intact {
			if there, err := b.holds(ctx, &a); err != nil || !there {
				return none, false, err
			}
		}
		return record.EpochState{ID: e, Upto: a.Upto, End: a.End, Sum: a.sum()}, true, nil
	}
}

// holds tells whether a log that has lost records still has the newest of this
// epoch, or purged it because it was old.
func (b *book) holds(ctx context.Context, a *account) (bool, error) {
	if a.Seq == 0 {
		return true, nil // of a line of the chain before this one, and not lost when that ended
	}
	for r, err := range b.log.Read(ctx, b.gatewayID, a.Seq) {
		if err != nil {
			return false, err
		}
		if r.Seq == a.Seq {
			return r.Epoch == a.Epoch && r.First+r.N-1 == a.Upto, nil
		}
		break
	}
	for r, err := range b.log.Read(ctx, b.gatewayID, 0) {
		return err == nil && r.Seq > a.Seq, err
	}
	return false, nil
}

// sum tells one open gap from another, as in a state.
func (a *account) sum() uint32 {
	if a.End != record.EndOpen || a.Open == nil {
		return 0
	}
	return a.Open.Sum
}

// reading gives a gateway's book as of now: what is saved, and what the log
// has beyond it. It is not to be saved.
func (s *Server) reading(ctx context.Context, gatewayID string) (*book, error) {
	b := newBook(gatewayID, s.opt.Log, s.opt.KV)
	if err := errors.Join(b.open(ctx), b.loadAll(ctx)); err != nil {
		return nil, err
	}
	ok, err := b.intact(ctx)
	if err != nil {
		return nil, err
	}
	from := uint64(0)
	if ok {
		from = b.page.Seq + 1
	}
	for r, err := range s.opt.Log.Read(ctx, gatewayID, from) {
		if err == nil {
			err = b.enter(ctx, r)
		}
		if err != nil {
			return nil, fmt.Errorf("read the log of %s: %w", gatewayID, err)
		}
	}
	return b, nil
}
