package cloud

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// errSuperseded ends a session whose place in the chain another has taken.
var errSuperseded = errors.New("a newer session of this gateway has taken over")

// errInterrupted ends all sessions whose log lost its connection.
var errInterrupted = errors.New("the connection to the log was interrupted")

const (
	openTries     = 5                // against other sessions opening at the same time
	minRetry      = time.Second      // after an append that failed, doubling
	maxRetry      = 30 * time.Second // up to here
	rememberTries = 64               // of one append; an older one that arrives after all ends the session
)

// A chain is where a session stands in its gateway's records. Owned by one
// goroutine: so there is never more than one record in flight.
type chain struct {
	log       record.Log
	gatewayID string
	gen       uint64
	known     record.Place                        // newest record that is not void: the predecessor of the next
	end       record.Place                        // newest record of all: the next goes behind it, and only there
	tries     []string                            // ids of the record under way, one for each try
	took      time.Duration                       // by the newest append, without what came before when it had to be tried again
	tried     func(took time.Duration, err error) // told of every try
	recall    recall                              // what the ledger knows
	trouble   func(error)                         // told when appending begins to fail, and (nil) when it works again
}

// openChain appends the record that opens a session. From then on no older
// session can append.
func openChain(ctx context.Context, c *chain, h *wire.Hello) (record.State, error) {
	for range openTries {
		tail, err := c.findTail(ctx)
		if err != nil {
			return record.State{}, err
		}
		held, err := record.ParseState(tail.State)
		if err != nil {
			return record.State{}, fmt.Errorf("record %d of %s: %w", tail.Seq, c.gatewayID, err)
		}
		// Without the ledger's answer an epoch that ended long ago would count as a new
		// one, and be stored twice. So there is no session without it.
		if held, err = c.recalled(ctx, held, h); err != nil {
			return record.State{}, fmt.Errorf("ask the ledger: %w", err)
		}
		opened := held.Opened(h)
		c.gen = genOf(tail) + 1
		// This record is the fence: it takes the place behind the tail, where an older
		// session would append. If the server dies here, the record harms nobody.
		_, err = c.append(ctx, record.Record{Kind: record.KindOpen, State: opened.String()})
		if err == nil {
			c.gen = max(c.gen, c.known.Seq)
			return opened, nil
		}
		// Another session opened at the same time: its record is the tail now.
		if !errors.Is(err, errSuperseded) {
			return record.State{}, err
		}
	}
	return record.State{}, fmt.Errorf("open session: %w, %d times", errSuperseded, openTries)
}

// genOf gives the number of the session that wrote r. An open record cannot
// hold its own sequence, from which its session's number is taken.
func genOf(r record.Record) uint64 {
	if r.Kind == record.KindOpen {
		return max(r.Gen, r.Seq)
	}
	return r.Gen
}

// findTail sets where the chain ends and gives the newest record that is not
// void; the zero record if there is none.
func (c *chain) findTail(ctx context.Context) (record.Record, error) {
	r, err := c.log.Last(ctx, c.gatewayID)
	c.end = r.Place()
	for found := false; err == nil && !found && r.PrevSeq != 0; {
		r, found, err = c.validUpTo(ctx, r)
	}
	if errors.Is(err, record.ErrNoRecord) {
		r, err = record.Record{}, nil
	}
	c.known = r.Place()
	return r, err
}

// validUpTo gives the newest record up to r that is not void, if the one that r
// was meant to follow is still in its place (or was purged). If the log has
// lost that one, r is void, and the answer is the record before r, of which
// nothing is known yet. What lies between the two may be void, or may itself
// follow that record, which makes r void.
func (c *chain) validUpTo(ctx context.Context, r record.Record) (tail record.Record, found bool, err error) {
	for p, err := range c.log.Read(ctx, c.gatewayID, r.PrevSeq) {
		switch {
		case err != nil:
			return p, false, err
		case tail.Seq == 0 && p.Seq > r.PrevSeq:
			return r, true, nil
		case tail.Seq == 0:
			tail, found = p, !r.Displaced(p.Place())
		case found && p.LinkTo(tail.Place()) == record.Next, !found && p.Seq < r.Seq:
			tail = p
		}
		if p.Seq == r.Seq {
			break
		}
	}
	if tail.Seq == 0 {
		return r, true, nil
	}
	return tail, found, nil
}

// append stores r as the chain's next record, which it gives. It returns when
// that is durable, or errSuperseded, or when ctx is done; while the log is in
// trouble it waits and tries again. An append under way is always finished.
func (c *chain) append(ctx context.Context, r record.Record) (record.Record, error) {
	r.Prev, r.PrevSeq, r.Gen = c.known.ID, c.known.Seq, c.gen
	c.tries = c.tries[:0]
	failing := false
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		r.ID = rand.Text()
		c.tries = append(c.tries[max(0, len(c.tries)+1-rememberTries):], r.ID)
		err := c.try(ctx, r)
		if errors.Is(err, errSuperseded) {
			return r, err
		}
		if failing != (err != nil) {
			c.trouble(err)
		}
		if failing = err != nil; !failing {
			r.Seq, r.ID, r.At = c.known.Seq, c.known.ID, time.Now()
			return r, nil
		}
		select {
		// The record may be stored all the same, or yet be. Whoever opens next reads it.
		case <-ctx.Done():
			return r, fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		case <-time.After(wait):
		}
	}
}

// try appends r once and, whatever the answer, finds out what became of it.
// To try again is safe: at most one can be the next. But every try has an id of
// its own: what is still under way of an earlier one must not pass, after the
// log has lost its newest records, for the record that a later one follows.
func (c *chain) try(ctx context.Context, r record.Record) error {
	began := time.Now()
	// Behind end, void records included: there is no other free place. The end of
	// the session does not cut it short, because a record that was stored is to be
	// acknowledged.
	seq, err := c.log.Append(context.WithoutCancel(ctx), c.gatewayID, c.end.Seq, r)
	c.tried(time.Since(began), err)
	stored := record.Place{Seq: seq, ID: r.ID}
	if err != nil {
		stored, err = c.resolve(ctx, err)
	}
	if err != nil {
		return err
	}
	c.took = time.Since(began)
	c.known, c.end = stored, stored
	return nil
}

// resolve finds out what became of an append that did not succeed, by reading:
// stored (also if an earlier try arrived after all), not stored (the error that
// append gave), or superseded.
func (c *chain) resolve(ctx context.Context, failed error) (record.Place, error) {
	last, err := c.log.Last(context.WithoutCancel(ctx), c.gatewayID)
	switch {
	// The log says nothing: not known, so it is tried again.
	case err != nil && !errors.Is(err, record.ErrNoRecord):
		return record.Place{}, err
	// One of the tries is the newest record: only its answer was lost.
	case slices.Contains(c.tries, last.ID):
		return last.Place(), nil
	// Nothing came behind the end. If the try arrives later, the next one is refused
	// its place, and finds it here.
	case last.Place() == c.end:
		return record.Place{}, failed
	}
	return record.Place{}, fmt.Errorf("%w (%w)", errSuperseded, failed)
}
