package ledger

import (
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

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
