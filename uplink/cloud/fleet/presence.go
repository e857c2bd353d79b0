package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	presenceTTL   = 90 * time.Second // a server that has not renewed for so long is gone, and its sessions with it
	presenceRenew = 30 * time.Second
	presenceTick  = time.Second
	presenceBytes = 32 << 10 // of a document; longer lists of devices stay out
)

// A Session is a session of a gateway, as presence sees it.
type Session interface {
	GatewayID() string
	Gen() uint64 // of two sessions of a gateway, the newer has the higher one
	Since() time.Time
	Seen() time.Time // when something came last
	Hello() *wire.Hello
}

// A Presence is what a gateway said of itself last, and whether it is
// connected. The server that holds its session keeps it in the KV for the
// others.
type Presence struct {
	Server    string              `json:"server"` // random, for each run of a server
	Gen       uint64              `json:"gen"`
	Connected bool                `json:"connected"`
	Since     time.Time           `json:"since"` // of the session
	Seen      time.Time           `json:"seen"`  // when something came last
	Said      time.Time           `json:"said"`  // when it said what follows
	Software  string              `json:"software"`
	Level     wire.Level          `json:"level"`
	Clock     wire.ClockState     `json:"clock"`
	Backlog   wire.Backlog        `json:"backlog"`
	Health    []wire.Condition    `json:"health,omitempty"`
	Devices   []wire.StatusDevice `json:"devices,omitempty"`
	Figures   map[string]float64  `json:"figures,omitempty"`
	Empty     time.Time           `json:"empty,omitzero"` // when it said last that the cloud has all that it holds
}

// emptyDoubt is how long a word of a gateway may have been on its way: a
// session whose connection is dead ends earlier.
const emptyDoubt = 2 * time.Minute

// Sent gives up to when all that the gateway measured has come, by its own
// word; zero if it never said so, or its clock is not the cloud's.
func (p *Presence) Sent() time.Time {
	if p.Empty.IsZero() || p.Clock.Quality < gateway.ClockSession {
		return time.Time{}
	}
	return p.Empty.Add(-emptyDoubt - time.Duration(min(p.Clock.ErrMS, 1e9))*time.Millisecond)
}

// Waiting gives what a gateway said last that it holds.
func (p *Presence) Waiting() *ledger.Waiting {
	w := &ledger.Waiting{N: p.Backlog.N, Bytes: p.Backlog.Bytes, AsOf: ledger.UTC(p.Said)}
	if p.Backlog.OldestTS != 0 && p.Backlog.N > 0 {
		w.Oldest = ledger.UTC(time.UnixMicro(int64(p.Backlog.OldestTS)))
	}
	return w
}

// Presences is the part that knows who is connected, here and to the other
// servers.
type Presences struct {
	opt    PresenceOptions
	server string

	mu        sync.Mutex // guards what follows
	local     map[string]*Presence
	held      map[string]Session
	dirty     map[string]bool
	elsewhere map[string]remotePresence
	wrote     map[string]time.Time
}

// A remotePresence is what the KV says of a gateway.
type remotePresence struct {
	Presence
	rev uint64
	at  time.Time // when that was heard
}

// PresenceOptions says what Presences work with; all are required.
type PresenceOptions struct {
	KV      record.KV // where servers of one cloud tell each other
	Logger  *slog.Logger
	Level   func() wire.Level
	Ended   func()          // waits until all sessions have ended
	Changed func(id string) // told when somebody comes, goes or says something; must not wait
}

// NewPresences makes the presences of one run of a server.
func NewPresences(opt PresenceOptions) *Presences {
	return &Presences{
		opt: opt, server: rand.Text(), local: map[string]*Presence{}, held: map[string]Session{}, dirty: map[string]bool{},
		elsewhere: map[string]remotePresence{}, wrote: map[string]time.Time{},
	}
}

// Opened notes a session whose welcome was sent.
func (p *Presences) Opened(x Session) {
	id, hello := x.GatewayID(), x.Hello()
	now := time.Now()
	p.mu.Lock()
	p.held[id] = x
	p.local[id] = &Presence{
		Server: p.server, Gen: x.Gen(), Connected: true, Since: x.Since(), Seen: now, Said: now,
		Software: hello.Software, Level: p.opt.Level(), Clock: hello.Clock, Backlog: hello.Backlog,
	}
	if hello.All && hello.Backlog.N == 0 {
		p.local[id].Empty = now
	}
	p.dirty[id] = true
	p.mu.Unlock()
	p.opt.Changed(id)
}

// Closed notes that a session has ended.
func (p *Presences) Closed(x Session) {
	p.mu.Lock()
	current := p.held[x.GatewayID()] == x
	if current {
		delete(p.held, x.GatewayID())
		l := p.local[x.GatewayID()]
		l.Connected, l.Seen = false, x.Seen()
		p.dirty[x.GatewayID()] = true
	}
	p.mu.Unlock()
	if current {
		p.opt.Changed(x.GatewayID())
	}
}

// Heard takes what a gateway says of itself.
func (p *Presences) Heard(x Session, m wire.Message) {
	st, ok := m.(*wire.Status)
	if !ok {
		return
	}
	now := time.Now()
	p.mu.Lock()
	if l := p.local[x.GatewayID()]; l != nil && p.held[x.GatewayID()] == x {
		l.Health, l.Devices, l.Figures, l.Said = st.Health, st.Devices, st.Figures, now
		if n, ok := st.Figures["unacknowledged"]; ok {
			l.Backlog.N, l.Backlog.OldestTS = uint64(min(max(n, 0), 1<<53)), 0
			if n <= 0 {
				l.Empty = now
			} else {
				age := time.Duration(min(max(st.Figures["oldest_unacknowledged_s"], 0), 1e9) * float64(time.Second)) // at most 31 years
				l.Backlog.OldestTS = wire.Time(now.Add(-age).UnixMicro())
			}
		}
		p.dirty[x.GatewayID()] = true
	}
	p.mu.Unlock()
	p.opt.Changed(x.GatewayID())
}

// Stored takes what has come off what the gateway said that waits: it sends its
// backlog oldest first. Once live readings come and no other epoch is
// unfinished, nothing waits but what is on its way.
func (p *Presences) Stored(x Session, r record.Record, m wire.Message) {
	u, ok := m.(*wire.Update)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.local[x.GatewayID()]
	if l == nil || p.held[x.GatewayID()] != x {
		return
	}
	if n := len(u.Blocks); n > 0 && r.Lane == wire.LaneLive {
		p.tickLocked(x.GatewayID(), l, u.Blocks[n-1])
	}
	b := &l.Backlog
	if b.N == 0 {
		return
	}
	switch {
	case r.Lane == wire.LaneBacklog:
		b.Bytes -= b.Bytes / b.N * min(r.N, b.N)
		b.N -= min(r.N, b.N)
		if n := len(u.Blocks); n > 0 {
			h, err := block.Parse(u.Blocks[n-1])
			if err == nil && h.Anchor.Quality > gateway.ClockNone {
				b.OldestTS = wire.Time(h.Anchor.Wall(h.T1).UnixMicro())
			}
		}
	case r.N > 0 && onlyUnfinished(r):
		b.N = 0
	default:
		return
	}
	if b.N == 0 {
		b.Bytes, b.OldestTS = 0, 0
	}
	l.Said = time.Now()
	p.dirty[x.GatewayID()] = p.dirty[x.GatewayID()] || b.N == 0 || time.Since(p.wrote[x.GatewayID()]) > 10*time.Second
}

// tickLocked takes the state of the gateway's clock from its newest live block.
func (p *Presences) tickLocked(id string, l *Presence, b []byte) {
	h, err := block.Parse(b)
	if err != nil {
		return
	}
	p.dirty[id] = p.dirty[id] || h.Anchor.Quality != l.Clock.Quality
	l.Clock = wire.ClockState{Quality: h.Anchor.Quality, Offset: h.Anchor.Offset, ErrMS: h.Anchor.Error.Milliseconds()}
}

// onlyUnfinished tells whether a record is of the only epoch from which
// anything can still come.
func onlyUnfinished(r record.Record) bool {
	held, err := record.ParseState(r.State)
	for _, e := range held.Epochs {
		if e.ID != r.Epoch && !e.Done() && e.End != record.EndUnlisted {
			return false
		}
	}
	return err == nil
}

// Of gives what is known of a gateway; false if nothing is.
func (p *Presences) Of(id string) (Presence, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ofLocked(id)
}

func (p *Presences) ofLocked(id string) (Presence, bool) {
	if x := p.held[id]; x != nil {
		l := *p.local[id]
		l.Seen = ledger.Latest(l.Seen, x.Seen())
		return l, true
	}
	best, found := Presence{}, false
	if l := p.local[id]; l != nil {
		best, found = *l, true
	}
	if o, ok := p.elsewhere[id]; ok && (!found || o.Gen > best.Gen) {
		best, found = o.Presence, true
		best.Connected = o.Connected && o.Server != p.server && time.Since(o.at) < presenceTTL
	}
	return best, found
}

// All gives the ids of gateways of which something is known.
func (p *Presences) All() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make([]string, 0, len(p.elsewhere)+len(p.local))
	for id := range p.elsewhere {
		ids = append(ids, id)
	}
	for id := range p.local {
		if _, twice := p.elsewhere[id]; !twice {
			ids = append(ids, id)
		}
	}
	return ids
}

// Run keeps the KV and the other servers' sessions in step with this one's.
func (p *Presences) Run(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := p.opt.KV.Watch(ctx, "presence", p.hear); err != nil && ctx.Err() == nil {
			p.opt.Logger.Error("sessions on other servers are no longer seen", "error", err)
		}
	})
	tick := time.NewTicker(presenceTick)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			p.write(ctx)
		}
	}
	watching.Wait()
	p.opt.Ended()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	p.write(last) // else the others learn it when the time is up
}

func (p *Presences) hear(d record.Doc) {
	id := strings.TrimPrefix(d.Key, "presence.")
	o := remotePresence{rev: d.Rev, at: d.At}
	if now := time.Now(); o.at.After(now) {
		o.at = now
	}
	if d.Body != nil && json.Unmarshal(d.Body, &o.Presence) != nil {
		return
	}
	p.mu.Lock()
	before := p.elsewhere[id]
	if p.elsewhere[id] = o; d.Body == nil {
		delete(p.elsewhere, id)
	}
	p.mu.Unlock()
	if o.Server != p.server && (before.Connected != o.Connected || before.Gen != o.Gen) {
		p.opt.Changed(id)
	}
}

// write puts what has changed, or must be renewed, in the KV. What another
// server has changed meanwhile is heard first.
func (p *Presences) write(ctx context.Context) {
	type due struct {
		id   string
		rev  uint64
		what Presence
	}
	var list []due
	now := time.Now()
	p.mu.Lock()
	for id := range p.held {
		if now.Sub(p.wrote[id]) >= presenceRenew {
			p.dirty[id] = true
		}
	}
	for id := range p.dirty {
		l, _ := p.local[id]
		o := p.elsewhere[id]
		if o.Gen > l.Gen { // it is another server's now
			delete(p.dirty, id)
			continue
		}
		what := *l
		if x := p.held[id]; x != nil {
			what.Seen = ledger.Latest(what.Seen, x.Seen())
		}
		// Not dirty from now on: what is said during the write makes it dirty again.
		list = append(list, due{id, o.rev, what})
		delete(p.dirty, id)
	}
	// The lock is given back before the writes, because every update that a session
	// stores takes it, and a write may last seconds.
	p.mu.Unlock()
	for _, d := range list {
		body, err := json.Marshal(d.what)
		if len(body) > presenceBytes {
			d.what.Devices = nil
			body, err = json.Marshal(d.what)
		}
		rev := uint64(0)
		if err == nil {
			rev, err = p.opt.KV.Put(ctx, "presence."+d.id, body, d.rev, 0)
		}
		p.mu.Lock()
		// Another server may have written meanwhile: then the revision is wrong, hear
		// learns of its document, and the next turn decides whose the gateway is.
		if err != nil {
			p.dirty[d.id] = true
		} else if p.wrote[d.id] = now; rev > p.elsewhere[d.id].rev {
			p.elsewhere[d.id] = remotePresence{d.what, rev, now}
		}
		p.mu.Unlock()
		if err != nil && !errors.Is(err, record.ErrRevision) {
			p.opt.Logger.Debug("the presence of a gateway cannot be written; trying again", "gateway", d.id, "error", err)
		}
	}
}

// Oldest gives since when readings are not acknowledged, nil if there are none
// that are known.
func (p *Presence) Oldest() *time.Time {
	if w := p.Waiting(); w.Oldest != nil {
		return w.Oldest
	}
	if p.Connected {
		return nil
	}
	return ledger.UTC(p.Seen)
}
