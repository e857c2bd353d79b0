package uplink

import (
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A State is what the uplink is doing.
type State string

// The states of the uplink.
const (
	Off          State = "off"           // no address configured, or not running
	NoCredential State = "no_credential" // waiting for a credential; nothing is dialled
	Waiting      State = "waiting"       // for the next try
	Connecting   State = "connecting"
	Online       State = "online"
	Paused       State = "paused"   // connected; the cloud takes no readings for now
	Draining     State = "draining" // connected; the cloud asked to come back later
	Refused      State = "refused"  // the cloud does not accept the credential: slow tries
)

// Status is what people and metrics see of the uplink.
type Status struct {
	State     State      `json:"state"`
	Endpoint  string     `json:"endpoint"`             // of the present session, or tried next
	Stage     string     `json:"stage,omitempty"`      // of connecting: "dial", "TLS", "upgrade", "hello"
	Since     time.Time  `json:"since"`                // of State, "connecting" and "waiting" taken as one
	NextTry   time.Time  `json:"next_try,omitzero"`    // when waiting
	LastError string     `json:"last_error,omitempty"` // in words; stays after recovery
	Tries     int        `json:"tries"`                // failed in a row
	Session   string     `json:"session,omitempty"`
	Level     wire.Level `json:"level,omitempty"` // what an ack stands for
	RTTMS     float64    `json:"rtt_ms,omitempty"`
	Encoding  string     `json:"encoding,omitempty"`  // "cbor" or "json"
	PausedBy  string     `json:"paused_by,omitempty"` // why the cloud takes nothing: "storage", "rate"
	Acked     uint64     `json:"acked"`               // readings acknowledged since start
	Events    uint64     `json:"events"`              // events acknowledged since start
	Updates   uint64     `json:"updates"`             // updates acknowledged since start
	// PerhapsLost counts, since the start, readings that were sent to a plain
	// server and that it had not shown to have read when their line ended.
	PerhapsLost uint64     `json:"perhaps_lost,omitempty"`
	LastAck     time.Time  `json:"last_ack,omitzero"`
	Late        Lateness   `json:"-"`                         // of live readings
	CertEnds    time.Time  `json:"certificate_ends,omitzero"` // of the cloud's certificate, as last seen
	Clock       *CloudTime `json:"clock,omitempty"`           // by the session's time exchange

	Traffic   Traffic          `json:"traffic"`
	Endpoints []EndpointStatus `json:"endpoints,omitempty"` // in the order of preference, if there are several
}

// CloudTime is the cloud's clock as seen through a session.
type CloudTime struct {
	Offset int64 `json:"offset_us"` // wall time = BOOTTIME + Offset
	Error  int64 `json:"error_us"`  // bound on the error of Offset
}

// Status gives the present status. It may be called from any goroutine.
func (u *Uplink) Status() Status {
	traffic := u.meter.traffic()
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.status
	s.Late = u.late.figures()
	if s.Clock != nil {
		clock := *s.Clock
		s.Clock = &clock
	}
	s.Traffic = traffic
	return s
}

// wall is the best wall time that there is, and whether it may be believed:
// the session's, else that of a clock that somebody set.
func (u *Uplink) wall() (time.Time, bool) {
	u.mu.Lock()
	session := u.status.Clock
	u.mu.Unlock()
	if session != nil {
		return time.UnixMicro(int64(u.o.Clock.Stamp()) + session.Offset), true
	}
	return u.now(), u.o.Clock != nil && u.o.Clock.Anchor().Quality > gateway.ClockNone
}

// set changes the status, and keeps what depends on the state in step.
func (u *Uplink) set(change func(*Status)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.status.State
	change(&u.status)
	s := &u.status
	if s.State == before {
		return
	}
	if !trying(s.State) || !trying(before) {
		s.Since = time.Now()
	}
	if !s.State.Connected() {
		s.Session, s.Level, s.Encoding, s.PausedBy, s.RTTMS, s.Clock = "", "", "", "", 0, nil
	}
	if s.State != Connecting {
		s.Stage = ""
	}
	if s.State == Connecting || s.State.Connected() || s.State == Off {
		s.NextTry = time.Time{}
	}
}

func trying(s State) bool { return s == Waiting || s == Connecting }

// Connected tells whether there is a session with the cloud.
func (s State) Connected() bool { return s == Online || s == Paused || s == Draining }

// at tells how far connecting has come. What is dialled beside a session, to
// look whether another address answers, is no part of that.
func (u *Uplink) at(stage string) {
	u.set(func(s *Status) {
		if !s.State.Connected() {
			s.Stage = stage
		}
	})
}
