package uplink

import (
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A Commander takes commands that came at a stamp. It does not wait; what
// becomes of a command goes out through Options.Outgoing and, for certain, as
// an event. *command.Dispatcher is one.
type Commander interface {
	Take(c gateway.Command, at gateway.Stamp)
}

// A Configurer takes desired configurations. None of its methods waits.
type Configurer interface {
	// Take takes a configuration that the cloud desires.
	Take(d gateway.DesiredConfig)
	// Applied says what is in force, for hello; "" if none ever came.
	Applied() (ver uint64, hash string)
	// Ready says that a session was welcomed: the line works as configured.
	Ready()
}

func desiredOf(m *wire.Config) gateway.DesiredConfig {
	return gateway.DesiredConfig{Ver: m.Ver, Hash: m.Hash, Doc: m.Doc, Confirm: time.Duration(m.ConfirmS) * time.Second}
}

// applied is what hello says of the configuration.
func (u *Uplink) applied() *wire.ConfigState {
	ver, hash := u.o.Config.Applied()
	if hash == "" {
		return nil
	}
	return &wire.ConfigState{Ver: ver, Hash: hash}
}

// outgoing is where results and reports come from, as long as there is room
// for more.
func (s *session) outgoing() <-chan wire.Message {
	if len(s.urgent) >= maxUrgent {
		return nil
	}
	return s.u.o.Outgoing
}

// commandOf turns the cloud's command into the gateway's.
func commandOf(m *wire.Command) gateway.Command {
	c := gateway.Command{
		ID: m.ID, Device: m.Device, Action: m.Action, Value: m.Value, Args: m.Args,
		TTL: time.Duration(m.TTLMS) * time.Millisecond, Lease: time.Duration(m.LeaseMS) * time.Millisecond,
		Once: m.Once, Again: m.Again, Seq: m.Seq,
	}
	if m.Expires != 0 {
		c.Expires = time.UnixMicro(int64(m.Expires))
	}
	return c
}

// outboxLen is how many messages an Outbox holds.
const outboxLen = 64

// An Outbox holds what a session sends at once, ahead of everything else. What
// finds no room, because the line is down, is left out: it is told for certain
// by an event, or by the next hello.
type Outbox chan wire.Message

// NewOutbox makes an empty one.
func NewOutbox() Outbox { return make(Outbox, outboxLen) }

// Result puts the result of a command in. It does not wait.
func (o Outbox) Result(r gateway.CommandResult) {
	m := &wire.Result{ID: r.ID, State: r.State, Value: r.Value, Error: r.Error}
	if !r.At.IsZero() {
		m.At = wire.Time(r.At.UnixMicro())
	}
	o.put(m)
}

// Report puts what became of a configuration in. It does not wait.
func (o Outbox) Report(c gateway.ConfigOutcome) {
	o.put(&wire.Reported{Ver: c.Ver, Hash: c.Hash, State: string(c.State), Errors: c.Errors})
}

func (o Outbox) put(m wire.Message) {
	select {
	case o <- m:
	default:
	}
}
