package command

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	MaxBody    = 32 << 10 // bytes of a request
	defaultTTL = time.Minute
	maxLease   = math.MaxInt64 / 1_000_000 // ms; as many as a gateway can count
)

// A commandRequest is the body of POST /v1/gateways/{id}/commands. The same
// body under the same id may be posted again and again: it is one command.
type commandRequest struct {
	ID      string          `json:"id"` // "": one is drawn
	Device  string          `json:"device_id"`
	Action  string          `json:"action"`
	Value   *float64        `json:"value"`
	Args    json.RawMessage `json:"args"`
	TTLMS   *int64          `json:"ttl_ms"` // from now; nil: a minute
	Once    bool            `json:"once"`
	LeaseMS int64           `json:"lease_ms"`
	Queue   *bool           `json:"queue"` // wait for a gateway that is not connected; nil: yes
}

// Parse reads a request. Keys that it does not know are an error: a
// command that is not what its sender meant must not act.
func Parse(body []byte, gatewayID string, now time.Time) (Command, error) {
	var q commandRequest
	if err := decodeStrict(body, &q); err != nil {
		return Command{}, fmt.Errorf("the body is not a command: %w", err)
	}
	ttl := defaultTTL
	if q.TTLMS != nil {
		if *q.TTLMS < 1 || *q.TTLMS > wire.MaxCommandTTL.Milliseconds() {
			return Command{}, fmt.Errorf("ttl_ms is %d, must be 1 to %d (7 days)", *q.TTLMS, wire.MaxCommandTTL.Milliseconds())
		}
		ttl = time.Duration(*q.TTLMS) * time.Millisecond
	}
	if q.ID == "" {
		q.ID = rand.Text()
	}
	if string(q.Args) == "null" {
		q.Args = nil
	}
	for what, name := range map[string]string{"id": q.ID, "device_id": q.Device, "action": q.Action} {
		if !gateway.ValidID(name) {
			return Command{}, fmt.Errorf("%s is %.40q, must be 1 to 64 of A-Z a-z 0-9 _ -", what, name)
		}
	}
	switch {
	case q.LeaseMS < 0, q.LeaseMS > maxLease:
		return Command{}, fmt.Errorf("lease_ms is %d, must be 0 to %d", q.LeaseMS, maxLease)
	}
	// What no gateway can read must not wait, and be refused in every session.
	if err := wire.ValidBody(q.Args); err != nil {
		return Command{}, fmt.Errorf("args: %w", err)
	}
	now = now.UTC().Truncate(time.Millisecond)
	return Command{
		ID: q.ID, Gateway: gatewayID, Device: q.Device, Action: q.Action, Value: q.Value, Args: q.Args, Once: q.Once,
		LeaseMS: q.LeaseMS, Queue: q.Queue == nil || *q.Queue, State: Queued, Created: now, Expires: now.Add(ttl),
	}, nil
}

// same tells whether two documents are of the same request.
func (d Command) same(o Command) bool {
	ask := func(d Command) string {
		text, _ := json.Marshal([]any{d.Device, d.Action, d.Value, d.Args, d.Once, d.LeaseMS, d.Expires.Sub(d.Created)}) // they came as JSON
		return string(text)
	}
	return ask(d) == ask(o)
}

// A Refusal is an answer that is an error.
type Refusal struct {
	Status        int
	Code, Message string
}

func (r *Refusal) Error() string { return r.Message }
