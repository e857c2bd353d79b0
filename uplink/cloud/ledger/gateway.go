package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

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
	sent            time.Time               // see EpochTime
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

// maxBirths is how many of the newest epochs a checkpoint knows the birth of.
const maxBirths = 64

func newGateway(gatewayID string, log record.Log, kv record.KV) *Gateway {
	return &Gateway{
		ID: gatewayID, log: log, kv: kv,
		accounts: map[gateway.EpochID]*account{}, clocks: map[gateway.BootID]*Clock{}, changed: map[gateway.BootID]bool{},
	}
}

// Open gives the ledger of a gateway as of now: what is saved, and what the log
// has beyond it. It is for reading: nothing of it is to be saved.
func Open(ctx context.Context, log record.Log, kv record.KV, gatewayID string) (*Gateway, error) {
	b := newGateway(gatewayID, log, kv)
	// The checkpoint first: an account that is ahead of it does no harm, because
	// it takes no record twice; one that lags behind would miss some.
	if err := errors.Join(b.load(ctx), b.loadAll(ctx)); err != nil {
		return nil, err
	}
	// A log that has lost what was entered last is read from its beginning, so that
	// the place is found where it goes on.
	ok, err := b.intact(ctx)
	if err != nil {
		return nil, err
	}
	from := uint64(0)
	if ok {
		from = b.checkpoint.Seq + 1
	}
	for r, err := range log.Read(ctx, gatewayID, from) {
		if err == nil {
			err = b.enter(ctx, r)
		}
		if err != nil {
			return nil, fmt.Errorf("read the log of %s: %w", gatewayID, err)
		}
	}
	return b, nil
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

// load reads the checkpoint.
func (b *Gateway) load(ctx context.Context) error {
	_, err := b.read(ctx, b.checkpointKey(), &b.checkpoint)
	return err
}

// loadAll brings every account of the gateway to hand.
func (b *Gateway) loadAll(ctx context.Context) error {
	if b.kv == nil {
		return nil
	}
	for doc, err := range b.kv.List(ctx, "ledger."+b.ID) {
		if err != nil {
			return fmt.Errorf("read the ledger of %s: %w", b.ID, err)
		}
		var e gateway.EpochID
		if e.UnmarshalText([]byte(doc.Key[strings.LastIndexByte(doc.Key, '.')+1:])) != nil {
			continue // the checkpoint
		}
		if b.accounts[e] != nil {
			continue
		}
		a := &account{}
		if err := json.Unmarshal(doc.Body, a); err != nil {
			return fmt.Errorf("read %s: %w", doc.Key, err)
		}
		b.accounts[e] = a
	}
	return nil
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

// spans gives all spans of an account.
func (b *Gateway) spans(ctx context.Context, a *account) ([]span, error) {
	var all []span
	for n := range a.Parts {
		var part []span
		found, err := b.read(ctx, b.partKey(a.Epoch, n), &part)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("the ledger has lost %s", b.partKey(a.Epoch, n))
		}
		all = append(all, part...)
	}
	return append(all, a.Spans...), nil
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
func (b *Gateway) eventsKey(n int) string            { return fmt.Sprintf("events.%s.%d", b.ID, n) }

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

// Knows tells whether there is a ledger of a gateway: it outlives the
// credential and the log.
func Knows(ctx context.Context, kv record.KV, gatewayID string) (bool, error) {
	b := newGateway(gatewayID, nil, kv)
	return b.read(ctx, b.checkpointKey(), new(checkpoint))
}

// Births gives when the newest epochs of a gateway, at most 64, were first heard
// of.
func Births(ctx context.Context, kv record.KV, gatewayID string) ([]time.Time, error) {
	b := newGateway(gatewayID, nil, kv)
	err := b.load(ctx)
	return b.checkpoint.Born, err
}
