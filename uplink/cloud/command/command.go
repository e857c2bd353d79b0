package command

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

// The states of a command before a gateway says anything of it.
const (
	Queued gateway.CommandState = "queued" // waits for its gateway
	Sent   gateway.CommandState = "sent"   // it may have been received
)

const (
	kept          = 24 * time.Hour // behind its expiry
	maxPending    = 1000           // of one gateway; no more are taken
	within        = 5 * time.Second
	revisionTries = 16
)

// A Command is a command as it lies on the KV and as the API shows it.
// Its state only moves forward: queued, sent, accepted, running, then one
// that is final.
type Command struct {
	ID      string               `json:"id"`
	Gateway string               `json:"gateway_id"`
	Device  string               `json:"device_id"`
	Action  string               `json:"action"`
	Value   *float64             `json:"value,omitempty"`
	Args    json.RawMessage      `json:"args,omitempty"`
	Once    bool                 `json:"once,omitempty"`     // it is never sent a second time
	LeaseMS int64                `json:"lease_ms,omitempty"` // how long a set-point holds
	Queue   bool                 `json:"queue"`              // it may wait for the gateway to connect
	Seq     uint64               `json:"seq"`                // its place among the commands of this gateway
	State   gateway.CommandState `json:"state"`
	Result  *float64             `json:"result,omitempty"` // what the output is at, as the gateway says
	Error   string               `json:"error,omitempty"`
	At      wire.Time            `json:"at,omitempty"`   // when it came to this state, as the gateway says
	Sent    int                  `json:"sent,omitempty"` // times that it was sent to act
	Created time.Time            `json:"created"`
	Expires time.Time            `json:"expires"`
}

// States are all that there are.
var States = []gateway.CommandState{
	Queued, Sent, gateway.CommandAccepted, gateway.CommandRunning,
	gateway.CommandDone, gateway.CommandFailed, gateway.CommandRejected, gateway.CommandExpired, gateway.CommandUnknown,
}

// ranks order the states; all final ones are 4.
var ranks = map[gateway.CommandState]int{
	Queued: 0, Sent: 1, gateway.CommandAccepted: 2, gateway.CommandRunning: 3,
}

func rank(s gateway.CommandState) int {
	if r, known := ranks[s]; known {
		return r
	}
	return 4
}

// Final tells whether the state is the last one.
func (d *Command) Final() bool { return rank(d.State) == 4 }

// apply moves the command to what its gateway says of it. The first final
// state stays.
func (d *Command) apply(r *wire.Result) (changed bool) {
	if rank(r.State) <= rank(d.State) {
		return false
	}
	d.State, d.Result, d.Error, d.At = r.State, r.Value, r.Error, r.At
	return true
}

// next says what is to be sent to a gateway that may or may not have received
// the command, nil for nothing. What is sent so that it acts changes the
// document, and only then may it be sent.
func (d *Command) next(now time.Time) (m *wire.Command, changed bool) {
	left := d.Expires.Sub(now).Milliseconds()
	switch {
	case d.Final():
		return nil, false
	case d.State == Queued && left <= 0:
		d.State, d.Error = gateway.CommandExpired, "the gateway did not connect in time"
		return nil, true
	case d.State == Queued, d.State == Sent && !d.Once && left > 0:
		m = d.message(left)
		m.Again = d.Sent > 0
		d.State = Sent
		d.Sent++
		return m, true
	}
	// It may have acted, or may be too late: the gateway is only asked.
	m = d.message(0)
	m.Again = true
	return m, false
}

func (d *Command) message(ttlMS int64) *wire.Command {
	return &wire.Command{
		ID: d.ID, Device: d.Device, Action: d.Action, Value: d.Value, Args: d.Args, Once: d.Once, Seq: d.Seq,
		LeaseMS: d.LeaseMS, TTLMS: ttlMS, Expires: wire.Time(d.Expires.UnixMicro()),
	}
}

// Shown is the document as it is told: one that waits in the queue past its
// expiry has expired, although nobody has noted it yet.
func (d Command) Shown(now time.Time) Command {
	if d.State == Queued {
		d.next(now)
		if !d.Final() {
			d.State, d.Sent = Queued, 0
		}
	}
	return d
}

func key(gatewayID, id string) string { return "cmd." + gatewayID + "." + id }

// A Store keeps the documents of commands.
type Store struct {
	record.KV
	moved func(Command) // told of every state that a command has come to
}

// Command gives a command and its revision; record.ErrNoDoc: there is none.
func (c Store) Command(ctx context.Context, gatewayID, id string) (d Command, rev uint64, err error) {
	doc, err := c.Get(ctx, key(gatewayID, id))
	if err != nil {
		return d, 0, err
	}
	if err := json.Unmarshal(doc.Body, &d); err != nil {
		return d, 0, fmt.Errorf("read command %s: %w", id, err)
	}
	return d, doc.Rev, nil
}

// put writes a document that is at revision rev, 0 for a new one.
func (c Store) put(ctx context.Context, d Command, rev uint64) error {
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	_, err = c.Put(ctx, key(d.Gateway, d.ID), body, rev, time.Until(d.Expires.Add(kept)))
	return err
}

// change alters a document until nobody else has altered it meanwhile. alter
// may be called several times; when it says false, nothing is written.
func (c Store) change(ctx context.Context, gatewayID, id string, alter func(*Command) bool) (Command, error) {
	for range revisionTries {
		d, rev, err := c.Command(ctx, gatewayID, id)
		was := d.State
		if err != nil || !alter(&d) {
			return d, err
		}
		err = c.put(ctx, d, rev)
		if err == nil && d.State != was {
			c.moved(d)
		}
		if !errors.Is(err, record.ErrRevision) {
			return d, err
		}
	}
	return Command{}, fmt.Errorf("change command %s: %w", id, record.ErrRevision)
}

// Commands gives the commands of a gateway in order of seq; pending alone are
// those that are not final.
func (c Store) Commands(ctx context.Context, gatewayID string, pending bool) ([]Command, error) {
	var all []Command
	for doc, err := range c.List(ctx, "cmd."+gatewayID) {
		if err != nil {
			return nil, err
		}
		var d Command
		if json.Unmarshal(doc.Body, &d) == nil && !(pending && d.Final()) {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b Command) int { return cmp.Compare(a.Seq, b.Seq) })
	return all, nil
}

// seq draws the next number of a gateway's commands. It is the time in
// milliseconds where that is higher, so that it goes up even when the KV
// was lost.
func (c Store) seq(ctx context.Context, gatewayID string) (uint64, error) {
	key := "cmdseq." + gatewayID
	for range revisionTries {
		var last struct {
			Seq uint64 `json:"seq"`
		}
		doc, err := c.Get(ctx, key)
		if err == nil {
			err = json.Unmarshal(doc.Body, &last)
		}
		if err != nil && !errors.Is(err, record.ErrNoDoc) {
			return 0, fmt.Errorf("number command: %w", err)
		}
		last.Seq = max(last.Seq+1, uint64(time.Now().UnixMilli()))
		body, err := json.Marshal(last)
		if err != nil {
			return 0, fmt.Errorf("number command: %w", err)
		}
		if _, err = c.Put(ctx, key, body, doc.Rev, 0); !errors.Is(err, record.ErrRevision) {
			return last.Seq, err
		}
	}
	return 0, fmt.Errorf("number command: %w", record.ErrRevision)
}
