package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const (
	cursorPrefix = "cursor."
	renewEvery   = 5 * time.Second  // a holder says that it is there
	renewLost    = 20 * time.Second // one that has not for so long is gone
)

var errNotHeld = errors.New("another server consumes in this one's place")

// A position is the document of a cursor.
type position struct {
	Seq    uint64    `json:"seq"`              // consumed up to here
	At     time.Time `json:"at"`               // when the record with Seq was stored
	Of     time.Time `json:"of"`               // when the stream was made that they belong to
	Holder string    `json:"holder,omitempty"` // the server that consumes; empty: none
}

// A cursor is how far a consumer has come, and which server consumes. Every
// change names the revision before it, so that two servers cannot both move it.
type cursor struct {
	log *Log
	key string

	mu  sync.Mutex // guards what follows
	at  position
	rev uint64
}

func (c *cursor) seq() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.Seq
}

// acquire makes this server the one that consumes; it waits while another does.
func (c *cursor) acquire(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var since time.Time // when this revision was first seen
	for {
		seen := c.rev
		err := c.loadLocked(ctx)
		if err != nil {
			return err
		}
		if seen != c.rev || since.IsZero() {
			since = time.Now()
		}
		free := c.log.alone || c.at.Holder == "" || c.at.Holder == c.log.id || time.Since(since) >= renewLost
		if free {
			at := c.at
			at.Holder = c.log.id
			err = c.putLocked(ctx, at)
		}
		if free && !errors.Is(err, errNotHeld) {
			return err
		}
		if sleep(ctx, renewEvery); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// loadLocked reads the cursor. A stream that was lost and made anew has been
// consumed by nobody. One that lost its tail may have other records with these
// places by now: what was stored later than the cursor's has not been consumed.
func (c *cursor) loadLocked(ctx context.Context) error {
	info, err := c.log.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at the log: %w", err)
	}
	doc, err := c.log.Get(ctx, c.key)
	if err != nil && !errors.Is(err, record.ErrNoDoc) {
		return err
	}
	c.rev, c.at = doc.Rev, position{}
	if err == nil {
		if err := json.Unmarshal(doc.Body, &c.at); err != nil {
			return fmt.Errorf("%s: %w", c.key, err)
		}
	}
	if made := info.Created.UTC(); !c.at.Of.Equal(made) {
		c.at.Seq, c.at.At, c.at.Of = 0, time.Time{}, made
	}
	if c.at.Seq == 0 {
		return nil
	}
	later, err := c.log.firstSince(ctx, info, c.at.At.Add(1), c.at.Seq+1)
	if err != nil {
		return fmt.Errorf("look at the log: %w", err)
	}
	c.at.Seq = min(later-1, info.State.LastSeq)
	return nil
}

// putLocked writes the cursor, or says errNotHeld. A write without an answer
// may have been done: the next one tells.
func (c *cursor) putLocked(ctx context.Context, at position) error {
	body, err := json.Marshal(at)
	if err != nil {
		return err
	}
	rev, err := c.log.Put(ctx, c.key, body, c.rev, 0)
	if errors.Is(err, record.ErrRevision) {
		if doc, e := c.log.Get(ctx, c.key); e == nil && string(doc.Body) == string(body) {
			rev, err = doc.Rev, nil // this very write, done before
		} else {
			return errors.Join(errNotHeld, e)
		}
	}
	if err != nil {
		return err
	}
	c.at, c.rev = at, rev
	return nil
}

// advance notes that everything up to m was consumed, and nothing behind it. It tries until it is
// noted: otherwise it would be consumed again.
func (c *cursor) advance(ctx context.Context, m message) error {
	for {
		err := c.move(ctx, m)
		if err == nil || errors.Is(err, errNotHeld) || ctx.Err() != nil {
			return err
		}
		sleep(ctx, readPause)
	}
}

// goBack notes that the consumer has nothing behind a record.
func (c *cursor) goBack(ctx context.Context, to *record.BehindError) error {
	return c.advance(ctx, message{seq: to.Seq, at: to.At})
}

func (c *cursor) move(ctx context.Context, m message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	at.Seq, at.At = m.seq, m.at.UTC()
	return c.putLocked(context.WithoutCancel(ctx), at)
}

// hold tells the other servers again and again that this one is there, until
// ctx is done or another has taken over.
func (c *cursor) hold(ctx context.Context) error {
	if c.log.alone {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		c.mu.Lock()
		err := c.putLocked(ctx, c.at)
		c.mu.Unlock()
		if errors.Is(err, errNotHeld) {
			return err
		}
	}
}

// release says that nobody consumes any more: another server may go on at once.
func (c *cursor) release() {
	ctx, cancel := context.WithTimeout(context.Background(), readPause)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	at.Holder = ""
	_ = c.putLocked(ctx, at) // else the others wait until renewLost
}
