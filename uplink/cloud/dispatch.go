package cloud

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
	lateEvery    = 5 * time.Second // results that the shelf did not take are tried again
	lateMost     = 10_000
	capCommands  = "commands" // in hello
	takesNothing = "this gateway takes no commands"
)

// dispatch brings commands to the gateways that are connected to this server,
// and their results to the shelf. Which server holds a session need not be
// known: the one that does listens on the bus.
//
// If a server dies, what it knew is on the shelf, and what it had stored in the
// log, where the ledger reads it: whoever opens the gateway's next session sends
// what was not sent, sends again what may be, and asks for the rest.
type dispatch struct {
	shelf commandShelf
	bus   record.PubSub
	log   *slog.Logger

	mu    sync.Mutex
	lines map[*session]*commandLine
	late  map[string]lateResult // by key of the document
}

// A commandLine is the way of commands to one session.
type commandLine struct {
	*session
	stop  func()
	ended sync.WaitGroup // the listening for commands has begun, and those that waited are sent
	off   func()         // ends the listening; nil if it did not begin

	mu         sync.Mutex      // held while a command is sent, for their order
	unanswered map[string]bool // ids that were sent and are not final; guarded by dispatch.mu
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

func newDispatch(opt Options) *dispatch {
	return &dispatch{
		shelf: commandShelf{KV: opt.KV}, bus: opt.PubSub, log: opt.Logger,
		lines: map[*session]*commandLine{}, late: map[string]lateResult{},
	}
}

func (c *dispatch) part() part {
	return part{opened: c.opened, closed: c.closed, stored: c.stored, heard: c.heard, run: c.run}
}

func commandSubject(gatewayID string) string { return "cmd.default." + gatewayID }

// opened listens for commands, and then sends those that wait: one that is
// posted meanwhile is found one way or the other.
func (c *dispatch) opened(x *session) {
	ctx, cancel := context.WithCancel(x.ctx)
	l := &commandLine{session: x, unanswered: map[string]bool{}, stop: cancel}
	c.mu.Lock()
	c.lines[x] = l
	c.mu.Unlock()
	l.ended.Go(func() {
		off, err := c.bus.On(commandSubject(x.gatewayID), func(_ string, data []byte) []byte { return c.woken(ctx, l, data) })
		if err != nil {
			x.log.Error("no command can reach this session", "error", err)
			return
		}
		l.off = off
		c.sendConfig(ctx, l)
		c.sendPending(ctx, l)
	})
}

// closed ends the line. What was sent on it and not answered may have been
// lost: if the gateway has another session by now, that one takes over.
func (c *dispatch) closed(x *session, _ error) {
	c.mu.Lock()
	l := c.lines[x]
	delete(c.lines, x)
	c.mu.Unlock()
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
			_ = c.bus.Tell(commandSubject(x.gatewayID), data) // the next session asks anyway
		}
	}
}

// sendPending sends what waits for this gateway, in order.
func (c *dispatch) sendPending(ctx context.Context, l *commandLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, err := c.shelf.list(ctx, l.gatewayID, true)
	if err != nil && ctx.Err() == nil {
		l.log.Error("cannot read the commands that wait; the next session will", "error", err)
	}
	for _, d := range all {
		if !d.Queue && d.State == commandQueued {
			continue // whoever posted it decides
		}
		if _, err := c.deliverLocked(ctx, l, d.ID); err != nil && ctx.Err() == nil {
			l.log.Error("cannot send a command", "id", d.ID, "error", err)
		}
	}
}

// woken sends one command, and answers with its state.
func (c *dispatch) woken(ctx context.Context, l *commandLine, data []byte) []byte {
	var w wake
	if json.Unmarshal(data, &w) != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, shelfWithin)
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
		l.log.Error("cannot send a command", "id", w.ID, "error", err)
		return nil
	}
	answer, _ := json.Marshal(map[string]string{"state": string(d.State)}) // texts
	return answer
}

// deliverLocked sends a command, or asks what became of it. That it is sent
// is on the shelf before: if the server dies in between, one that may be sent
// once only is lost, and its result will be unknown.
func (c *dispatch) deliverLocked(ctx context.Context, l *commandLine, id string) (commandDoc, error) {
	var m *wire.Command
	d, err := c.shelf.change(ctx, l.gatewayID, id, func(d *commandDoc) (changed bool) {
		if d.State == commandQueued && !slices.Contains(l.hello.Caps, capCommands) {
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
	return d, l.send(m)
}

// heard takes a result or a report as it comes: quick, but not certain.
func (c *dispatch) heard(x *session, m wire.Message) {
	switch m := m.(type) {
	case *wire.Result:
		c.result(x, m)
	case *wire.Reported:
		c.reported(x, m)
	}
}

// stored takes the event of either. If the server dies before this is done,
// the ledger finds it in the log: see fromLog.
func (c *dispatch) stored(x *session, _ record.Record, m wire.Message) {
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
			x.remark(slog.LevelWarn, "an event makes no sense", "kind", ev.Kind, "epoch", ev.Epoch, "seq", ev.Seq, "error", err)
		}
	}
}

// result brings what a gateway says of a command to the shelf. Saying it again
// changes nothing. If the shelf does not answer, it is tried again later.
func (c *dispatch) result(x *session, r *wire.Result) {
	err := c.note(x.gatewayID, r)
	if err != nil {
		x.log.Warn("cannot keep the result of a command; trying again", "id", r.ID, "state", r.State, "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.lines[x]; l != nil && r.State.Final() {
		delete(l.unanswered, r.ID)
	}
	key := commandKey(x.gatewayID, r.ID)
	if err != nil && len(c.late) < lateMost && commandRank(r.State) >= commandRank(c.late[key].state()) {
		c.late[key] = lateResult{x.gatewayID, r}
	}
}

func (l lateResult) state() gateway.CommandState {
	if l.Result == nil {
		return commandQueued
	}
	return l.State
}

// note is nil too for a command that nobody knows (any more): one that was
// given on site.
func (c *dispatch) note(gatewayID string, r *wire.Result) error {
	ctx, cancel := context.WithTimeout(context.Background(), shelfWithin)
	defer cancel()
	_, err := c.shelf.change(ctx, gatewayID, r.ID, func(d *commandDoc) bool { return d.take(r) })
	if errors.Is(err, record.ErrNoDoc) {
		return nil
	}
	return err
}

// run tries late results again.
func (c *dispatch) run(ctx context.Context) {
	tick := time.NewTicker(lateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		late := maps.Clone(c.late)
		c.mu.Unlock()
		for key, r := range late {
			if c.note(r.gatewayID, r.Result) != nil {
				break
			}
			c.mu.Lock()
			if c.late[key] == r {
				delete(c.late, key)
			}
			c.mu.Unlock()
		}
	}
}
