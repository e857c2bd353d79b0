package cloud

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// maxJoins is how many joins a book remembers.
const maxJoins = 32

// A book is all that the ledger knows of one gateway: an account for each of
// its epochs and a clock for each of its boots. Records are entered in the
// order of the log. Owned by one goroutine.
type book struct {
	gatewayID string
	log       record.Log
	shelf     record.KV // nil: nothing was ever saved
	page      page
	accounts  map[gateway.EpochID]*account // those touched
	clocks    map[gateway.BootID]*bootClock
	changed   map[gateway.BootID]bool // clocks
	checked   bool                    // the log still has what the page says is the newest
	joined    func(join)              // may be nil; told of every new join
	happened  func(*wire.Event)       // may be nil; told of every event that is entered
	sent      time.Time               // see epochTime
}

// A page is what a book remembers of the chain.
type page struct {
	Seq     uint64    `json:"seq"`  // every record up to here was entered or is void
	Last    mark      `json:"last"` // the newest valid record
	Line    string    `json:"line"` // the record with which the unbroken chain begins
	Ord     uint64    `json:"ord"`  // of the newest account
	Pending []ended   `json:"pending,omitempty"`
	Joins   []join    `json:"joins,omitempty"`
	At      time.Time `json:"at"` // when the newest record came

	Born      []time.Time  `json:"born,omitempty"`       // when the newest epochs were first heard of
	Events    []eventPlace `json:"events,omitempty"`     // the newest, in this line of the chain
	EventDocs int          `json:"event_docs,omitempty"` // documents that hold older ones

	dirty bool
}

// A mark names a record.
type mark struct {
	Seq uint64 `json:"seq"`
	ID  string `json:"id"`
}

// An ended is an epoch that ended, until a later record proves the chain.
type ended struct {
	Epoch gateway.EpochID `json:"epoch"`
	At    time.Time       `json:"at"`
}

func newBook(gatewayID string, log record.Log, shelf record.KV) *book {
	return &book{
		gatewayID: gatewayID, log: log, shelf: shelf,
		accounts: map[gateway.EpochID]*account{}, clocks: map[gateway.BootID]*bootClock{}, changed: map[gateway.BootID]bool{},
	}
}

// The keys of a book's documents.
func (b *book) pageKey() string { return "ledger." + b.gatewayID + ".page" }
func (b *book) accountKey(e gateway.EpochID) string {
	return "ledger." + b.gatewayID + "." + e.String()
}
func (b *book) partKey(e gateway.EpochID, n int) string {
	return fmt.Sprintf("spans.%s.%s.%d", b.gatewayID, e, n)
}
func (b *book) indexKey(e gateway.EpochID) string { return "index." + b.gatewayID + "." + e.String() }
func (b *book) clockKey(id gateway.BootID) string { return "clock." + b.gatewayID + "." + id.String() }

// get reads a document into v. One that is not there leaves v as it is.
func (b *book) get(ctx context.Context, key string, v any) (found bool, err error) {
	if b.shelf == nil {
		return false, nil
	}
	doc, err := b.shelf.Get(ctx, key)
	if errors.Is(err, record.ErrNoDoc) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(doc.Body, v)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	return true, nil
}

// open reads the page.
func (b *book) open(ctx context.Context) error {
	_, err := b.get(ctx, b.pageKey(), &b.page)
	return err
}

// account gives an epoch's account, a new one if there is none.
func (b *book) account(ctx context.Context, e gateway.EpochID) (*account, error) {
	a := b.accounts[e]
	if a == nil {
		a = &account{Epoch: e, End: record.EndNone}
		found, err := b.get(ctx, b.accountKey(e), a)
		if err != nil {
			return nil, err
		}
		if !found {
			a.Ord, a.Since, a.Line, a.dirty = b.page.Ord+1, b.page.At, b.page.Line, true
		}
		if a.Ord > b.page.Ord { // new, also if a crash came before the page
			b.page.Ord, b.page.dirty = a.Ord, true
			b.page.Born = append(b.page.Born, a.Since)
			b.page.Born = b.page.Born[max(0, len(b.page.Born)-maxBorn):]
		}
		b.accounts[e] = a
	}
	if a.Line != b.page.Line {
		a.moveTo(b.page.Line)
	}
	return a, nil
}

// clock gives a boot's clock, an empty one if there is none.
func (b *book) clock(ctx context.Context, id gateway.BootID) (*bootClock, error) {
	c := b.clocks[id]
	if c == nil {
		c = &bootClock{Boot: id}
		if _, err := b.get(ctx, b.clockKey(id), c); err != nil {
			return nil, err
		}
		b.clocks[id] = c
	}
	return c, nil
}

// enter takes the next record of the gateway in.
func (b *book) enter(ctx context.Context, r record.Record) error {
	p := &b.page
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
	if !valid {
		return nil
	}
	broken := p.Last.ID != "" && r.Prev != p.Last.ID
	if broken || p.Last.ID == "" {
		p.Line = r.ID
	}
	p.Last, p.At, b.checked = mark{r.Seq, r.ID}, r.At, true
	if broken {
		if err := b.join(ctx, r); err != nil {
			return err
		}
	}
	if err := b.settle(ctx, r.At); err != nil {
		return err
	}
	return b.enterBody(ctx, r)
}

// intact tells whether the log still has the newest record that was entered,
// or only what came before newer ones was purged.
func (b *book) intact(ctx context.Context) (bool, error) {
	if b.page.Last.ID == "" {
		return true, nil
	}
	for r, err := range b.log.Read(ctx, b.gatewayID, b.page.Last.Seq) {
		if err != nil {
			return false, err
		}
		return r.ID == b.page.Last.ID || r.Seq > b.page.Last.Seq && r.Prev == b.page.Last.ID, nil
	}
	return false, nil
}

// follows tells whether r is the next record of the chain, or void. It is void
// if another stands in the place of its predecessor.
func (b *book) follows(ctx context.Context, r record.Record) (bool, error) {
	if b.page.Last.ID == "" || r.Prev == b.page.Last.ID {
		return true, nil
	}
	if ok, err := b.intact(ctx); ok || err != nil {
		return false, err
	}
	if r.PrevSeq == 0 {
		return true, nil
	}
	for prev, err := range b.log.Read(ctx, b.gatewayID, r.PrevSeq) {
		if err != nil {
			return false, err
		}
		return prev.Seq != r.PrevSeq || prev.ID == r.Prev, nil
	}
	return true, nil
}

// await lists an epoch that ended among those that are not proved yet.
func (b *book) await(a *account) {
	p := &b.page
	p.Pending = slices.DeleteFunc(p.Pending, func(e ended) bool { return e.Epoch == a.Epoch })
	if a.done() && !a.Settled {
		i, _ := slices.BinarySearchFunc(p.Pending, a.Ended, func(e ended, t time.Time) int { return e.At.Compare(t) })
		p.Pending = slices.Insert(p.Pending, i, ended{a.Epoch, a.Ended})
	}
}

// settle notes which ended epochs are proved by a record that came later.
func (b *book) settle(ctx context.Context, now time.Time) error {
	p := &b.page
	for len(p.Pending) > 0 && now.Sub(p.Pending[0].At) >= retain {
		a, err := b.account(ctx, p.Pending[0].Epoch)
		if err != nil {
			return err
		}
		if a.done() && a.Ended.Equal(p.Pending[0].At) { // else it went on, and a crash came before the page
			a.Settled, a.dirty = true, true
		}
		p.Pending = p.Pending[1:]
	}
	return nil
}

func (b *book) enterBody(ctx context.Context, r record.Record) error {
	if r.Kind == record.KindOpen {
		return b.enterState(ctx, r)
	}
	m, _ := wire.Decode(r.Body) // checked before it was stored: nil is damage
	if r.Kind == record.KindEvent {
		e, ok := m.(*wire.Event)
		if !ok {
			return nil
		}
		if b.happened != nil {
			b.happened(e)
		}
		return errors.Join(b.learn(ctx, []wire.Anchor{e.Anchor}), b.place(ctx, r, e))
	}
	a, err := b.account(ctx, r.Epoch)
	if err != nil {
		return err
	}
	if r.N > 0 && r.First <= a.Upto && r.Seq > a.Seq {
		if err := b.unsplit(ctx, a); err != nil {
			return err
		}
		a.rewind(record.EpochState{Upto: r.First - 1, End: record.EndNone})
	}
	var anchors []wire.Anchor
	u, _ := m.(*wire.Update)
	a.enter(r, u, func(x wire.Anchor) {
		if n := len(anchors); n == 0 || anchors[n-1] != x {
			anchors = append(anchors, x)
		}
	})
	b.await(a)
	return b.learn(ctx, anchors)
}

// enterState takes over what the state of an open record says: epochs that
// hello named first, and those that it no longer names.
func (b *book) enterState(ctx context.Context, r record.Record) error {
	held, err := record.ParseState(r.State)
	if err != nil {
		return fmt.Errorf("record %d of %s: %w", r.Seq, b.gatewayID, err)
	}
	for _, e := range held.Epochs {
		a, err := b.account(ctx, e.ID)
		if err != nil {
			return err
		}
		if a.Seq >= r.Seq {
			continue // a crash came between this account and the page
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
func (b *book) learn(ctx context.Context, anchors []wire.Anchor) error {
	for _, x := range anchors {
		if x.Boot == (gateway.BootID{}) {
			continue // of no boot: every such anchor stands alone
		}
		c, err := b.clock(ctx, x.Boot)
		if err != nil {
			return err
		}
		if c.add(x) {
			b.changed[x.Boot] = true
		}
	}
	return nil
}

// sorted gives the accounts at hand in the order in which their epochs were
// first heard of.
func (b *book) sorted() []*account {
	list := make([]*account, 0, len(b.accounts))
	for _, a := range b.accounts {
		list = append(list, a)
	}
	slices.SortFunc(list, func(x, y *account) int { return cmp.Compare(x.Ord, y.Ord) })
	return list
}
