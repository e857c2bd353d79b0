// Package command is the dispatcher that every command passes before it may act,
// wherever it comes from. A command acts at most once, across crashes and
// reboots, and never after its expiry; its result arrives at least once.
//
// What is on the card when power fails decides what becomes of a command:
//
//	no record   it did not act; if its sender sends it again, it may
//	accepted    it did not act; it still may, until it expires
//	running     whether it acted is not known: its result becomes "unknown"
//	a final one it is answered with that result, for ever
//
// Commands begin in the order of their seq. Those of one device act one after
// the other; a device that is busy holds up no other's.
package command

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

const (
	queueLen    = 256             // commands that came and were not looked at yet
	waitingMost = 256             // commands that wait for their device
	actingMost  = 8               // commands that act at a time
	unsavedMost = 1000            // results that the card refused and that answer repeats all the same
	lookEvery   = time.Second     // while something waits
	retryEvery  = 5 * time.Second // to write a result that the card refused
	maxTTL      = 7 * 24 * time.Hour
	maxArgs     = 16 << 10 // bytes
	maxError    = 500      // bytes of a sentence
)

// An Executor has the outputs.
type Executor interface {
	// Check says in a sentence for people why a command cannot be carried out
	// on this gateway, or nil. It changes nothing and does not wait.
	Check(c gateway.Command) error
	// Act carries a command out, and gives what its output is at then if it can
	// tell. It returns soon after ctx is done; an error says that the command
	// failed. Calls for different devices run at the same time, those for one
	// device never do.
	Act(ctx context.Context, c gateway.Command) (value *float64, err error)
}

// Records is where commands and results are kept; *store.Store is one.
type Records interface {
	// SaveCommand makes a record and the event of its result durable, both or,
	// with an error, neither.
	SaveCommand(c gateway.CommandRecord, result *gateway.Event) error
	Command(id string) (c gateway.CommandRecord, known bool)
	// OpenCommands gives the records that are not final, in order of receipt.
	OpenCommands() []gateway.CommandRecord
	// StateLost tells whether records may be missing.
	StateLost() bool
	// AddEvent keeps an event, in RAM until the card takes it.
	AddEvent(ev gateway.Event) (gateway.Name, error)
}

// A Clock is the board's own time.
type Clock interface {
	Stamp() gateway.Stamp
	Anchor() gateway.Anchor
}

// Options says what a Dispatcher works with. All fields must be set.
type Options struct {
	Records  Records
	Executor Executor
	Clock    Clock
	Tell     func(gateway.CommandResult) // hears of every change of state at once, from any goroutine; must not block
	Log      *slog.Logger
}

// A Dispatcher takes commands and has them carried out.
type Dispatcher struct {
	o    Options
	in   chan *entry
	over chan outcome // has room for all that act

	// Owned by Run.
	waiting  []*entry                         // accepted, by seq
	doubtful []*entry                         // of an earlier boot: expired, unless the time proves otherwise
	unsaved  map[string]gateway.CommandRecord // results that the card refused
	retryAt  gateway.Stamp                    // when they are written again
	busy     map[string]bool                  // devices that act
	acting   sync.WaitGroup
}

// An entry is a command on its way.
type entry struct {
	gateway.Command
	received gateway.Stamp
	anchor   gateway.Anchor // of the boot it was received in
	expiry   gateway.Stamp  // in this boot; not after it may it act
}

// An outcome is what Act gave.
type outcome struct {
	*entry
	value *float64
	err   error
}

// New makes a dispatcher. Nothing acts before Run.
func New(o Options) *Dispatcher {
	return &Dispatcher{
		o: o, in: make(chan *entry, queueLen), over: make(chan outcome, actingMost),
		unsaved: map[string]gateway.CommandRecord{}, busy: map[string]bool{},
	}
}

// Take takes a command that was received at a stamp of this boot. It does not
// wait; what becomes of the command is told.
func (d *Dispatcher) Take(c gateway.Command, at gateway.Stamp) {
	e := &entry{Command: c, received: at, anchor: d.o.Clock.Anchor(), expiry: at.Add(min(c.TTL, maxTTL))}
	select {
	case d.in <- e:
	default: // it is not recorded either: sent again later, it may act
		d.o.Tell(d.result(e, gateway.CommandRejected, nil, "busy: too many commands came at once"))
	}
}

// Run lets commands act until ctx is done; then it waits for those that act.
// The error is always nil.
func (d *Dispatcher) Run(ctx context.Context) error {
	look, awake := time.NewTimer(0), true
	defer look.Stop()
	// What an earlier run left is decided before anything new may act.
	d.recover()
	for ctx.Err() == nil {
		d.startNext(ctx)
		if len(d.waiting)+len(d.doubtful)+len(d.unsaved) > 0 && !awake {
			look.Reset(lookEvery)
			awake = true
		}
		select {
		case e := <-d.in:
			d.receive(e)
		case o := <-d.over:
			d.finish(ctx, o)
		case <-look.C:
			awake = false
			d.review()
		case <-ctx.Done():
		}
	}
	// over has room for all that act, so none of them hangs. What they did is on the
	// card before the store closes.
	d.acting.Wait()
	for len(d.over) > 0 {
		d.finish(ctx, <-d.over)
	}
	d.saveUnsaved()
	return nil
}

// receive judges a command that came.
func (d *Dispatcher) receive(e *entry) {
	if err := named(e.Command); err != nil { // nothing to keep it under
		d.o.Tell(d.result(e, gateway.CommandRejected, nil, err.Error()))
		return
	}
	if d.answer(e.ID) {
		return
	}
	err := d.check(e)
	switch {
	case d.forgotten(e):
		d.settle(e, gateway.CommandUnknown, nil, "this gateway has no record of it: whether it acted is not known")
	case err != nil:
		d.settle(e, gateway.CommandRejected, nil, err.Error())
	case d.expired(e):
		d.settle(e, gateway.CommandExpired, nil, "")
	case len(d.waiting) >= waitingMost:
		d.settle(e, gateway.CommandRejected, nil, "busy: too many commands wait for their devices")
	default:
		d.enqueue(e)
		if !d.next(e) {
			d.accept(e)
		}
	}
}

// answer tells again how far a command is that came before.
func (d *Dispatcher) answer(id string) (known bool) {
	r, known := d.unsaved[id]
	if !known {
		r, known = d.o.Records.Command(id)
	}
	if known {
		d.o.Tell(told(r))
	}
	return known
}

// accept records a command that has to wait.
func (d *Dispatcher) accept(e *entry) {
	if err := d.save(e, d.result(e, gateway.CommandAccepted, nil, "")); err != nil {
		d.dequeue(e)
		d.cannotRecord(e, err)
	}
}
