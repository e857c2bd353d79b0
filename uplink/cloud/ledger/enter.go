package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// enter takes the next record of the gateway in.
func (b *Gateway) enter(ctx context.Context, r record.Record) error {
	p := &b.checkpoint
	// A log that lost its tail gives the same sequences to other records. So what
	// was entered is skipped by sequence only once the log is known to be whole.
	if !b.checked {
		ok, err := b.intact(ctx)
		if err != nil {
			return err
		}
		b.checked = ok
	}
	if b.checked && r.Seq <= p.Seq || r.ID == p.Last.ID {
		return nil
	}
	valid, err := b.follows(ctx, r)
	if err != nil {
		return err
	}
	p.dirty = true
	p.Seq = r.Seq
	// A void record moves the place, and nothing else.
	if !valid {
		return nil
	}
	broken := r.LinkTo(p.Last) != record.Next
	// The first of all begins a line, and so does one that does not follow the newest
	// that was entered: the log has lost that one.
	if broken || p.Last.ID == "" {
		p.Line = r.ID
	}
	p.Last, p.At, b.checked = r.Place(), r.At, true
	if broken {
		if err := b.discontinue(ctx, r); err != nil {
			return err
		}
	}
	// That this record came proves the ends that lie long enough before it. All of
	// this is in RAM: if the server dies here, the batch comes again (see save).
	if err := b.settle(ctx, r.At); err != nil {
		return err
	}
	return b.enterBody(ctx, r)
}

// follows tells whether r is the next record of the chain, or void. If the log
// has lost the newest one that was entered, the log itself tells.
func (b *Gateway) follows(ctx context.Context, r record.Record) (bool, error) {
	if r.LinkTo(b.checkpoint.Last) == record.Next {
		return true, nil
	}
	if ok, err := b.intact(ctx); ok || err != nil {
		return false, err
	}
	if r.PrevSeq == 0 {
		return true, nil
	}
	for prev, err := range b.log.Read(ctx, b.ID, r.PrevSeq) {
		if err != nil {
			return false, err
		}
		return !r.Displaced(prev.Place()), nil
	}
	return true, nil
}

// await lists an epoch that ended among those that are not proved yet.
func (b *Gateway) await(a *account) {
	p := &b.checkpoint
	p.Pending = slices.DeleteFunc(p.Pending, func(e ended) bool { return e.Epoch == a.Epoch })
	if a.done() && !a.Settled {
		i, _ := slices.BinarySearchFunc(p.Pending, a.Ended, func(e ended, t time.Time) int { return e.At.Compare(t) })
		p.Pending = slices.Insert(p.Pending, i, ended{a.Epoch, a.Ended})
	}
}

// settle notes which ended epochs are proved by a record that came later.
func (b *Gateway) settle(ctx context.Context, now time.Time) error {
	p := &b.checkpoint
	for len(p.Pending) > 0 && now.Sub(p.Pending[0].At) >= record.Retain {
		a, err := b.account(ctx, p.Pending[0].Epoch)
		if err != nil {
			return err
		}
		if a.done() && a.Ended.Equal(p.Pending[0].At) { // else it went on, and a crash came before the checkpoint
			a.Settled, a.dirty = true, true
		}
		p.Pending = p.Pending[1:]
	}
	return nil
}

func (b *Gateway) enterBody(ctx context.Context, r record.Record) error {
	if r.Kind == record.KindOpen {
		return b.enterState(ctx, r)
	}
	held, _ := r.Content() // checked before it was stored: an empty one is damage
	if r.Kind == record.KindEvent {
		e := held.Event
		if e == nil {
			return nil
		}
		if b.happened != nil {
			b.happened(e)
		}
		return errors.Join(b.learn(ctx, []wire.Anchor{e.Anchor}), b.place(ctx, r, e), b.setApart(ctx, e))
	}
	a, err := b.account(ctx, r.Epoch)
	if err != nil {
		return err
	}
	// A record that begins inside of what is known tells that the log had lost the
	// rest: the server that wrote it no longer had it.
	if r.N > 0 && r.First <= a.Upto && r.Seq > a.Seq {
		if err := b.unsplit(ctx, a); err != nil {
			return err
		}
		a.rewind(record.EpochState{Upto: r.First - 1, End: record.EndNone})
	}
	var anchors []wire.Anchor
	a.enter(r, held.Update, func(x wire.Anchor) {
		if n := len(anchors); n == 0 || anchors[n-1] != x {
			anchors = append(anchors, x)
		}
	})
	b.await(a)
	return b.learn(ctx, anchors)
}

// setApart notes of an epoch that no opening of the store began it. An epoch that no hello named has no account.
func (b *Gateway) setApart(ctx context.Context, e *wire.Event) error {
	if e.Seq != 1 || e.Kind == gateway.EventBoot {
		return nil
	}
	if b.accounts[e.Epoch] == nil {
		found, err := b.read(ctx, b.accountKey(e.Epoch), &account{})
		if err != nil || !found {
			return err
		}
	}
	a, err := b.account(ctx, e.Epoch)
	if err == nil && !a.Apart {
		a.Apart, a.dirty = true, true
	}
	return err
}

// enterState takes over what the state of an open record says: epochs that
// hello named first, and those that it no longer names.
func (b *Gateway) enterState(ctx context.Context, r record.Record) error {
	held, err := record.ParseState(r.State)
	if err != nil {
		return fmt.Errorf("record %d of %s: %w", r.Seq, b.ID, err)
	}
	for _, e := range held.Epochs {
		a, err := b.account(ctx, e.ID)
		if err != nil {
			return err
		}
		if a.Seq >= r.Seq {
			continue // a crash came between this account and the checkpoint
		}
		switch {
		case e.Upto > a.Upto:
			a.witness(e.Upto)
			a.dirty = true
		case e.Upto < a.Upto: // an epoch that a log begun anew did not know
			if err := b.unsplit(ctx, a); err != nil {
				return err
			}
			a.rewind(e)
		}
		if a.End != e.End && (e.End == record.EndUnlisted || a.End == record.EndUnlisted) {
			a.End, a.dirty = e.End, true
		}
	}
	return nil
}

// learn takes anchors into the clocks of their boots.
func (b *Gateway) learn(ctx context.Context, anchors []wire.Anchor) error {
	for _, x := range anchors {
		if x.Boot == (gateway.BootID{}) {
			continue // of no boot: every such anchor stands alone
		}
		c, err := b.Clock(ctx, x.Boot)
		if err != nil {
			return err
		}
		if c.Add(x) {
			b.changed[x.Boot] = true
		}
	}
	return nil
}

// place notes where an event lies.
func (b *Gateway) place(ctx context.Context, r record.Record, e *wire.Event) error {
	c, err := b.Clock(ctx, e.Anchor.Boot)
	if err != nil {
		return err
	}
	t, q := c.Wall(e.At)
	b.checkpoint.Events = append(b.checkpoint.Events, eventPlace{r.Seq, t, q > gateway.ClockRTC})
	return nil
}

// A content is what one record brings into an account: spans, and the stamps
// of all that it holds, if they are of the account's boot.
type content struct {
	account *account
	learn   func(wire.Anchor)
	t0, t1  int64
	timed   bool
	foreign bool // some stamps are of another boot, or not known
}

func (c *content) take(r record.Record, u *wire.Update) {
	if u == nil {
		c.missed(r, span{Why: whyDamaged, Anchor: wire.Anchor{Boot: c.account.Boot}})
		return
	}
	held := record.Content{First: r.First, Update: u}
	for b, err := range held.Blocks() {
		if err == nil { // checked before it was stored
			c.clock(b.BlockHeader)
		}
	}
	if u.Thinned != nil {
		h, err := held.Thinned()
		if err != nil {
			c.take(r, nil)
			return
		}
		c.clock(h)
		c.missed(r, span{Why: WhyThinned, T0: int64(h.T0), T1: int64(h.T1), Anchor: record.WireAnchor(h.Anchor)})
	}
	if g := u.Gap; g != nil {
		c.stamps(g.Anchor, g.T0, g.T1)
		c.missed(r, span{Why: g.Why, T0: g.T0, T1: g.T1, Anchor: g.Anchor})
	}
	if e := u.End; e != nil && e.Closed == nil {
		c.stamps(*e.Anchor, e.T0, max(e.T0, e.T1))
		c.foreign = c.foreign || e.T1 < e.T0 // until when is not known
	}
	if a := c.account; u.End != nil && !c.timed && a.Timed {
		c.t0, c.t1, c.timed = a.T1, a.T1, true // an orderly end, right behind its last reading
	}
	c.timed = c.timed && !c.foreign
}

// missed enters the counted part of a record as a span.
func (c *content) missed(r record.Record, s span) {
	if s.First, s.N = r.First, r.N; s.N > 0 {
		c.account.miss(s)
	}
}

// clock notes when readings were taken.
func (c *content) clock(h gateway.BlockHeader) {
	a, anchor := c.account, record.WireAnchor(h.Anchor)
	if !a.Timed && a.Boot != h.Anchor.Boot {
		a.rebase(h.Anchor.Boot) // so far only gaps came, and they told of another boot
	}
	c.stamps(anchor, int64(h.T0), int64(h.T1))
	if !a.Timed || h.Anchor.Quality < a.Worst {
		a.Worst = h.Anchor.Quality
	}
	if a.Boot != h.Anchor.Boot {
		a.Others = a.Others.with(wallsOf(h.Anchor, int64(h.T0), int64(h.T1)))
		return // its stamps count from another moment
	}
	if !a.Timed {
		a.Timed, a.T0, a.T1 = true, int64(h.T0), int64(h.T1)
	}
	a.T0, a.T1 = min(a.T0, int64(h.T0)), max(a.T1, int64(h.T1))
}

func (c *content) stamps(anchor wire.Anchor, t0, t1 int64) {
	a := c.account
	if a.Boot == (gateway.BootID{}) && !a.Timed && anchor.Boot != a.Boot { // rows are of no boot, and stay so
		a.rebase(anchor.Boot)
	}
	if anchor.Boot != a.Boot {
		c.foreign = true
		return
	}
	if c.learn != nil && anchor.Boot != (gateway.BootID{}) {
		c.learn(anchor)
	}
	if !c.timed {
		c.t0, c.t1, c.timed = t0, t1, true
	}
	c.t0, c.t1 = min(c.t0, t0), max(c.t1, t1)
}
