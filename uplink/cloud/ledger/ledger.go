package ledger

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	ConsumerName = "ledger"        // of the consumer
	batchSize    = 8192            // records entered between two saves, at most: who is behind saves each gateway once for many
	Pause        = 2 * time.Second // between two saves, unless there are more records than a batch
	maxGateways  = 4096            // gateways at hand
)

// A Ledger keeps the ledger of a gateway for every gateway, from the log's feed, on the KV.
// What it has entered outlives the log.
type Ledger struct {
	Log    record.Log
	Feed   record.Feed
	KV     record.KV
	Logger *slog.Logger
	Pause  time.Duration
	Note   func(ctx context.Context, gatewayID string,
		e *wire.Event) error // told of results and reports, before it is saved that they were entered; may be nil
	Births func(gatewayID string, born []time.Time) // told of what was saved; may be nil

	gateways map[string]*Gateway // owned by the consumer
	saved    time.Time           // likewise
	events   []event             // of the batch; likewise

	Entered atomic.Uint64 // records
	Behind  atomic.Int64  // ms between when the newest entered record came and when it was entered
}

// An event is one of a gateway.
type event struct {
	gatewayID string
	*wire.Event
}

// Run consumes the feed until ctx is done.
func (l *Ledger) Run(ctx context.Context) {
	l.gateways = map[string]*Gateway{}
	err := l.Feed.Consume(ctx, ConsumerName, batchSize, l.take)
	if err != nil && ctx.Err() == nil {
		l.Logger.Error("the ledger has stopped; what the log holds is not lost, and is entered when the server starts again", "error", err)
	}
}

// take enters a batch and saves what it changed. After an error nothing is
// remembered that is not saved: the batch comes again.
func (l *Ledger) take(ctx context.Context, batch []record.Entry) error {
	if wait := l.Pause - time.Since(l.saved); len(batch) < batchSize && wait > 0 {
		select {
		case <-time.After(wait): // meanwhile more comes, which the next save takes along
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	touched := map[string]*Gateway{}
	l.events = l.events[:0]
	err := l.enter(ctx, batch, touched)
	// Results first, then the save: if the server dies in between, they come again,
	// and the same result changes nothing. The other way round they would be lost.
	for _, x := range l.events {
		if err == nil && l.Note != nil {
			err = l.Note(ctx, x.gatewayID, x.Event)
		}
	}
	if err == nil {
		var ledgers []*Gateway
		for _, b := range touched {
			ledgers = append(ledgers, b)
		}
		err = save(ctx, l.KV, ledgers)
	}
	// What is in RAM is ahead of the KV now, nobody knows by how much: it goes.
	if err != nil {
		clear(l.gateways)
		return err
	}
	l.saved = time.Now()
	for id, b := range touched {
		if l.Births != nil {
			l.Births(id, b.checkpoint.Born)
		}
	}
	l.Entered.Add(uint64(len(batch)))
	l.Behind.Store(time.Since(batch[len(batch)-1].At).Milliseconds())
	for id := range l.gateways {
		if len(l.gateways) <= maxGateways {
			break
		}
		delete(l.gateways, id)
	}
	return nil
}

func (l *Ledger) enter(ctx context.Context, batch []record.Entry, touched map[string]*Gateway) error {
	for _, e := range batch {
		b, err := l.gateway(ctx, e.GatewayID)
		if err != nil {
			return err
		}
		touched[e.GatewayID] = b
		if err := b.enter(ctx, e.Record); err != nil {
			return fmt.Errorf("enter record %d of %s: %w", e.Seq, e.GatewayID, err)
		}
	}
	return nil
}

// gateway gives the ledger of a gateway, from the KV if it is not at hand.
func (l *Ledger) gateway(ctx context.Context, id string) (*Gateway, error) {
	if b := l.gateways[id]; b != nil {
		return b, nil
	}
	b := newGateway(id, l.Log, l.KV)
	b.onDiscontinuity = func(j Discontinuity) { l.logDiscontinuity(id, j) }
	b.happened = func(ev *wire.Event) {
		if ev.Kind == gateway.EventResult || ev.Kind == gateway.EventConfig {
			l.events = append(l.events, event{id, ev})
		}
	}
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	l.gateways[id] = b
	return b, nil
}

func (l *Ledger) logDiscontinuity(gatewayID string, j Discontinuity) {
	l.Logger.Error("the log has lost records that the ledger had entered; what the gateway still holds it sends again, the rest may be lost",
		"gateway", gatewayID, "record", j.Seq, "all", j.Anew, "epochs", len(j.Epochs))
}
