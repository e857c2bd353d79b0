package command

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	askWithin    = 2 * time.Second
	lateEvery    = 5 * time.Second // results that the KV did not take are tried again
	maxLate      = 10_000
	capCommands  = "commands" // in hello
	takesNothing = "this gateway takes no commands"
)

// Dispatcher brings commands to the gateways that are connected to this server,
// and their results to the KV. Which server holds a session need not be
// known: the one that does listens on messages between servers.
//
// If a server dies, what it knew is on the KV, and what it had stored in the
// log, where the ledger reads it: whoever opens the gateway's next session sends
// what was not sent, sends again what may be, and asks for the rest.
type Dispatcher struct {
	Store  Store
	pubsub record.PubSub
	log    *slog.Logger

	mu       sync.Mutex
	sessions map[Session]*sessionState
	late     map[string]lateResult // by key of the document
}

// A sessionState is what a dispatcher knows of one session.
type sessionState struct {
	Session
	stop  func()
	ended sync.WaitGroup // the listening for commands has begun, and those that waited are sent
	off   func()         // ends the listening; nil if it did not begin

	mu         sync.Mutex      // held while a command is sent, for their order
	unanswered map[string]bool // ids that were sent and are not final; guarded by Dispatcher.mu
}

type lateResult struct {
	gatewayID string
	*wire.Result
}

// A wake tells the server that holds a session of a command, or that the
// gateway is to run by another configuration.
type wake struct {
	ID     string `json:"id,omitempty"`
	Config bool   `json:"config,omitempty"`
}

// NewDispatcher makes one. moved is told of every state that a command has come
// to.
func NewDispatcher(kv record.KV, pubsub record.PubSub, log *slog.Logger, moved func(Command)) *Dispatcher {
	return &Dispatcher{
		Store: Store{KV: kv, moved: moved}, pubsub: pubsub, log: log,
		sessions: map[Session]*sessionState{}, late: map[string]lateResult{},
	}
}

func subject(gatewayID string) string { return "cmd.default." + gatewayID }

// Opened listens for commands, and then sends those that wait: one that is
// posted meanwhile is found one way or the other.
func (c *Dispatcher) Opened(ctx context.Context, x Session) {
	ctx, cancel := context.WithCancel(ctx)
	l := &sessionState{Session: x, unanswered: map[string]bool{}, stop: cancel}
	c.mu.Lock()
	c.sessions[x] = l
	c.mu.Unlock()
	l.ended.Go(func() {
		off, err := c.pubsub.Subscribe(subject(x.GatewayID()), func(_ string, data []byte) []byte { return c.woken(ctx, l, data) })
		if err != nil {
			x.Log().Error("no command can reach this session", "error", err)
			return
		}
		l.off = off
		c.sendConfig(ctx, l)
		c.sendPending(ctx, l)
	})
}

// Closed forgets the session. What was sent in it and not answered may have been
// lost: if the gateway has another session by now, that one takes over.
func (c *Dispatcher) Closed(x Session) {
	c.mu.Lock()
	l := c.sessions[x]
	delete(c.sessions, x)
	c.mu.Unlock()
	// First nothing more is sent on it, then nothing more is heard for it: a wake-up
	// that comes in between finds a session that has ended, and sends nothing.
	l.stop()
	l.ended.Wait()
	if l.off != nil {
		l.off()
	}
	c.mu.Lock()
	ids := slices.Sorted(maps.Keys(l.unanswered))
	c.mu.Unlock()
	for _, id := range ids {
		if data, err := json.Marshal(wake{ID: id}); err == nil {
			_ = c.pubsub.Publish(subject(x.GatewayID()), data) // the next session asks anyway
		}
	}
}

// sendPending sends what waits for this gateway, in order.
func (c *Dispatcher) sendPending(ctx context.Context, l *sessionState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, err := c.Store.Commands(ctx, l.GatewayID(), true)
	if err != nil && ctx.Err() == nil {
		l.Log().Error("cannot read the commands that wait; the next session will", "error", err)
	}
	for _, d := range all {
		if !d.Queue && d.State == Queued {
			continue // whoever posted it decides
		}
		if _, err := c.deliverLocked(ctx, l, d.ID); err != nil && ctx.Err() == nil {
			l.Log().Error("cannot send a command", "id", d.ID, "error", err)
		}
	}
}

// woken sends one command, and answers with its state.
func (c *Dispatcher) woken(ctx context.Context, l *sessionState, data []byte) []byte {
	var w wake
	if json.Unmarshal(data, &w) != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.Config {
		c.sendConfig(ctx, l)
	}
	if !gateway.ValidID(w.ID) {
		return nil
	}
	d, err := c.deliverLocked(ctx, l, w.ID)
	if err != nil {
		l.Log().Error("cannot send a command", "id", w.ID, "error", err)
		return nil
	}
	answer, _ := json.Marshal(map[string]string{"state": string(d.State)}) // texts
	return answer
}

// deliverLocked sends a command, or asks what became of it. That it is sent
// is on the KV before: if the server dies in between, one that may be sent
// once only is lost, and its result will be unknown.
func (c *Dispatcher) deliverLocked(ctx context.Context, l *sessionState, id string) (Command, error) {
	var m *wire.Command
	d, err := c.Store.change(ctx, l.GatewayID(), id, func(d *Command) (changed bool) {
		if d.State == Queued && !slices.Contains(l.Hello().Caps, capCommands) {
			d.State, d.Error = gateway.CommandRejected, takesNothing
			return true
		}
		m, changed = d.next(time.Now())
		return changed
	})
	if err != nil || m == nil {
		return d, err
	}
	c.mu.Lock()
	l.unanswered[id] = true
	c.mu.Unlock()
	return d, l.Send(m)
}

// Heard takes a result or a report as it comes: quick, but not certain.
func (c *Dispatcher) Heard(x Session, m wire.Message) {
	switch m := m.(type) {
	case *wire.Result:
		c.result(x, m)
	case *wire.Reported:
		c.reported(x, m)
	}
}

// Stored takes the event of either. If the server dies before this is done,
// the ledger finds it in the log: see FromLog.
func (c *Dispatcher) Stored(x Session, m wire.Message) {
	ev, ok := m.(*wire.Event)
	if !ok {
		return
	}
	switch said, err := saidBy(ev); said := said.(type) {
	case *wire.Result:
		c.result(x, said)
	case *wire.Reported:
		c.reported(x, said)
	default:
		if err != nil {
			x.Remark(slog.LevelWarn, "an event makes no sense", "kind", ev.Kind, "epoch", ev.Epoch, "seq", ev.Seq, "error", err)
		}
	}
}

// result brings what a gateway says of a command to the KV. Saying it again
// changes nothing. If the KV does not answer, it is tried again later.
func (c *Dispatcher) result(x Session, r *wire.Result) {
	err := c.note(x.GatewayID(), r)
	if err != nil {
		x.Log().Warn("cannot keep the result of a command; trying again", "id", r.ID, "state", r.State, "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.sessions[x]; l != nil && r.State.Final() {
		delete(l.unanswered, r.ID)
	}
	of := key(x.GatewayID(), r.ID)
	if err != nil && len(c.late) < maxLate && rank(r.State) >= rank(c.late[of].state()) {
		c.late[of] = lateResult{x.GatewayID(), r}
	}
}

func (l lateResult) state() gateway.CommandState {
	if l.Result == nil {
		return Queued
	}
	return l.State
}

// note brings a result to the KV. It is nil too for a command that nobody knows
// (any more): one that was given on site.
func (c *Dispatcher) note(gatewayID string, r *wire.Result) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	// The state only moves forward, whatever order results come in, and however
	// often: a result that says nothing new writes nothing. If power dies here, the
	// ledger finds the same result in the log.
	_, err := c.Store.change(ctx, gatewayID, r.ID, func(d *Command) bool { return d.apply(r) })
	if errors.Is(err, record.ErrNoDoc) {
		return nil
	}
	return err
}

// Run tries late results again.
func (c *Dispatcher) Run(ctx context.Context) {
	tick := time.NewTicker(lateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		// A copy: the lock is not held during the writes, because every session takes it
		// for every result.
		late := maps.Clone(c.late)
		c.mu.Unlock()
		for key, r := range late {
			// The KV still does not answer: it is not asked for each of the others.
			if c.note(r.gatewayID, r.Result) != nil {
				break
			}
			c.mu.Lock()
			// Unless a later result has taken its place meanwhile.
			if c.late[key] == r {
				delete(c.late, key)
			}
			c.mu.Unlock()
		}
	}
}
