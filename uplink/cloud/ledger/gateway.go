package ledger

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

// maxDiscontinuities is how many discontinuities the ledger of a gateway remembers.
const maxDiscontinuities = 32

// A Gateway is all that the ledger knows of one gateway: an account for each of
// its epochs and a clock for each of its boots. Records are entered in the
// order of the log. Owned by one goroutine.
type Gateway struct {
	ID              string
	log             record.Log
	kv              record.KV // nil: nothing was ever saved
	checkpoint      checkpoint
	accounts        map[gateway.EpochID]*account // those touched
	clocks          map[gateway.BootID]*Clock
	changed         map[gateway.BootID]bool // clocks
	checked         bool                    // the log still has what the checkpoint says is the newest
	onDiscontinuity func(Discontinuity)     // may be nil; told of every new one
	happened        func(*wire.Event)       // may be nil; told of every event that is entered
	sent            time.Time               // see epochTime
}

// A checkpoint is what the ledger of a gateway remembers of the chain.
type checkpoint struct {
	Seq             uint64          `json:"seq"`  // every record up to here was entered or is void
	Last            record.Place    `json:"last"` // the newest valid record
	Line            string          `json:"line"` // the record with which the unbroken chain begins
	Ord             uint64          `json:"ord"`  // of the newest account
	Pending         []ended         `json:"pending,omitempty"`
	Discontinuities []Discontinuity `json:"joins,omitempty"`
	At              time.Time       `json:"at"` // when the newest record came

	Born      []time.Time  `json:"born,omitempty"`       // when the newest epochs were first heard of
	Events    []eventPlace `json:"events,omitempty"`     // the newest, in this line of the chain
	EventDocs int          `json:"event_docs,omitempty"` // documents that hold older ones

	dirty bool
}

// An ended is an epoch that ended, until a later record proves the chain.
type ended struct {
	Epoch gateway.EpochID `json:"epoch"`
	At    time.Time       `json:"at"`
}

func newGateway(gatewayID string, log record.Log, kv record.KV) *Gateway {
	return &Gateway{
		ID: gatewayID, log: log, kv: kv,
		accounts: map[gateway.EpochID]*account{}, clocks: map[gateway.BootID]*Clock{}, changed: map[gateway.BootID]bool{},
	}
}

// The keys of the ledger of a gateway's documents.
func (b *Gateway) checkpointKey() string { return "ledger." + b.ID + ".page" }
func (b *Gateway) accountKey(e gateway.EpochID) string {
	return "ledger." + b.ID + "." + e.String()
}
func (b *Gateway) partKey(e gateway.EpochID, n int) string {
	return fmt.Sprintf("spans.%s.%s.%d", b.ID, e, n)
}
func (b *Gateway) indexKey(e gateway.EpochID) string { return "index." + b.ID + "." + e.String() }
func (b *Gateway) clockKey(id gateway.BootID) string { return "clock." + b.ID + "." + id.String() }

// read reads a document into v. One that is not there leaves v as it is.
func (b *Gateway) read(ctx context.Context, key string, v any) (found bool, err error) {
	if b.kv == nil {
		return false, nil
	}
	doc, err := b.kv.Get(ctx, key)
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

// load reads the checkpoint.
func (b *Gateway) load(ctx context.Context) error {
	_, err := b.read(ctx, b.checkpointKey(), &b.checkpoint)
	return err
}

// account gives an epoch's account, a new one if there is none.
func (b *Gateway) account(ctx context.Context, e gateway.EpochID) (*account, error) {
	a := b.accounts[e]
	if a == nil {
		a = &account{Epoch: e, End: record.EndNone}
		found, err := b.read(ctx, b.accountKey(e), a)
		if err != nil {
			return nil, err
		}
		if !found {
			a.Ord, a.Since, a.Line, a.dirty = b.checkpoint.Ord+1, b.checkpoint.At, b.checkpoint.Line, true
		}
		if a.Ord > b.checkpoint.Ord { // new, also if a crash came before the checkpoint
			b.checkpoint.Ord, b.checkpoint.dirty = a.Ord, true
			b.checkpoint.Born = append(b.checkpoint.Born, a.Since)
			b.checkpoint.Born = b.checkpoint.Born[max(0, len(b.checkpoint.Born)-maxBirths):]
		}
		b.accounts[e] = a
	}
	if a.Line != b.checkpoint.Line {
		a.moveTo(b.checkpoint.Line)
	}
	return a, nil
}

// Clock gives a boot's clock, an empty one if there is none.
func (b *Gateway) Clock(ctx context.Context, id gateway.BootID) (*Clock, error) {
	c := b.clocks[id]
	if c == nil {
		c = &Clock{Boot: id}
		if _, err := b.read(ctx, b.clockKey(id), c); err != nil {
			return nil, err
		}
		b.clocks[id] = c
	}
	return c, nil
}

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

// intact tells whether the log still has the newest record that was entered,
// or only what came before newer ones was purged.
func (b *Gateway) intact(ctx context.Context) (bool, error) {
	if b.checkpoint.Last.ID == "" {
		return true, nil
	}
	last := b.checkpoint.Last
	for r, err := range b.log.Read(ctx, b.ID, last.Seq) {
		if err != nil {
			return false, err
		}
		return r.ID == last.ID || r.Seq > last.Seq && r.LinkTo(last) == record.Next, nil
	}
	return false, nil
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

// sorted gives the accounts at hand in the order in which their epochs were
// first heard of.
func (b *Gateway) sorted() []*account {
	list := make([]*account, 0, len(b.accounts))
	for _, a := range b.accounts {
		list = append(list, a)
	}
	slices.SortFunc(list, func(x, y *account) int { return cmp.Compare(x.Ord, y.Ord) })
	return list
}

// maxBirths is how many of the newest epochs a checkpoint knows the birth of.
const maxBirths = 64
