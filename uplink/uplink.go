package uplink

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The times of the state machine.
const (
	dialTimeout    = 15 * time.Second
	tlsTimeout     = 15 * time.Second
	upgradeTimeout = 10 * time.Second
	helloTimeout   = 10 * time.Second
	writeTimeout   = 30 * time.Second // one message; 256 KiB at 70 kbit/s
	ackTimeout     = 30 * time.Second // without any answer to an update
	stopGrace      = 2 * time.Second  // for the ack of what is under way, at an orderly stop
	closeGrace     = time.Second      // for the other side's close frame
	provenAfter    = time.Minute      // a session this long, with an ack, resets the back-off
	drainGrace     = 5 * time.Second  // for the acks of what is under way, when the cloud drains
	garblesToJSON  = 2                // closes with 4400 in a row before JSON is tried
)

// Options say to whom the uplink connects, as whom, and what it sends.
type Options struct {
	Route
	Identity
	Store
	Handlers
	Time

	Conditions Conditions
	Log        *slog.Logger
}

// A Route is where the cloud is, and how the line to it is made.
type Route struct {
	URL  string   // wss://host[:port]/path; "" switches the uplink off
	URLs []string // further addresses of the same cloud, tried in this order when URL fails
	// Authorities are who may sign the cloud's certificate, read again at every
	// try; nil, or a nil pool: whom the system trusts.
	Authorities func() (*x509.CertPool, error)
	// Proxy gives the proxy to go through, read again at every try; nil, or "":
	// none. See gateway.ParseProxy for its form.
	Proxy            func() (string, error)
	ProxyAuthorities func() (*x509.CertPool, error) // who may sign the certificate of an https:// proxy; as Authorities
	JSON             bool                           // speak fieldgate.v1.json, also to a cloud that knows CBOR
	Unacknowledged   bool                           // the server acknowledges nothing: see plain.go
	// Dial makes the connection under TLS; nil means net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// An Identity is who the gateway is.
type Identity struct {
	GatewayID  string
	InstallID  [16]byte
	Software   string     // "fieldgate/0.1.0"
	Credential Credential // keeps it, and exchanges it in time
}

// A Store is what is sent, and how much of it.
type Store struct {
	Source Source
	// Waiting gives the bytes that the waiting readings take, about, and when
	// the oldest was measured, for hello; may be nil.
	Waiting func() (bytes uint64, oldest time.Time)
	Budget  Budget       // of bytes; the zero Budget has no bound
	Kept    []byte       // what Keep was last given in an earlier run: the count of bytes
	Keep    func([]byte) // is given the same with every heartbeat; may be nil
}

// Handlers take what the cloud asks for, and give the answers.
type Handlers struct {
	Commands Commander           // nil: this gateway takes no commands
	Config   Configurer          // nil: it takes no configuration from the cloud
	Outgoing <-chan wire.Message // results and reports, sent ahead of everything else; may be nil
	Report   func() *wire.Status // how the gateway is; may be nil
}

// A Time is what the board knows of the time, and who learns it from the cloud.
type Time struct {
	Clock     Clock
	Floor     func() time.Time // certificates are checked at a time no earlier than this; nil: the system clock alone
	CloudTime func(time.Time)  // is given the cloud's time in every session and with every heartbeat; may be nil
	// SessionTime is given the cloud's clock as an offset to BOOTTIME (µs) and a
	// bound on its error, at every answer; may be nil.
	SessionTime func(offset int64, bound time.Duration)
}

// An Uplink keeps one gateway connected to its cloud.
type Uplink struct {
	o      Options
	points []*endpoint // in the order of preference
	woken  chan struct{}
	meter  *meter

	denied    []credential               // refused since the last session; owned by Run
	presented atomic.Pointer[credential] // of the present try
	atFloor   atomic.Bool                // certificates are checked at the floor, in the present try

	// Owned by Run.
	*endpoint                            // of the present try, or of the next
	token       string                   // of the present try; kept out of every sentence
	tries       int                      // exponent of the back-off
	expected    time.Time                // end of the spread after the loss of a session
	failures    int                      // since the last session
	raised      string                   // code of the condition that holds
	maxMsg      int                      // bytes; halved when the cloud finds a message too big
	stuck       map[gateway.EpochID]bool // epochs whose condition "held" is raised
	plainBreaks int                      // of lines to a plain server, lately
	garbles     int                      // closes in a row because the cloud could not decode us

	parts     sync.WaitGroup // what Run waits for beside its own loop
	splitting sync.Mutex     // held while the store splits an epoch
	lastSplit time.Time      // guarded by splitting

	mu     sync.Mutex
	status Status
	late   lateness
}

// New checks the options. Nothing is dialled before Run.
func New(o Options) (*Uplink, error) {
	u := &Uplink{o: o, woken: make(chan struct{}, 1), maxMsg: wire.MaxMessage, stuck: map[gateway.EpochID]bool{}}
	u.status = Status{State: Off, Since: time.Now()}
	u.meter = newMeter(o, u.wall)
	if o.URL == "" {
		return u, nil
	}
	if !gateway.ValidID(o.GatewayID) {
		return nil, fmt.Errorf("gateway id %q is not [A-Za-z0-9_-]{1,64}", o.GatewayID)
	}
	if o.Credential == nil && !o.Unacknowledged {
		return nil, errors.New("no credential is kept for this gateway")
	}
	var err error
	if u.points, err = newEndpoints(o.URL, o.URLs, o.Unacknowledged); err != nil {
		return nil, err
	}
	u.endpoint = u.points[0]
	u.showEndpoints()
	if u.o.Dial == nil {
		u.o.Dial = (&net.Dialer{}).DialContext
	}
	return u, nil
}

// Run keeps the line up until ctx is done. Then it sends no more, waits a
// short grace for the ack of what is under way, and closes. The error is
// always nil: no failure of the line ends the uplink.
func (u *Uplink) Run(ctx context.Context) error {
	defer u.set(func(s *Status) { s.State = Off })
	defer u.parts.Wait()
	if u.o.URL == "" {
		<-ctx.Done()
		return nil
	}
	next := pause{length: jitter(backOffBase)}
	for u.rest(ctx, next) {
		result := u.try(ctx)
		if ctx.Err() != nil {
			break
		}
		if result.proven() {
			u.tries = 0
		}
		if result.moved {
			u.turn(true)
			u.showEndpoints()
			next = pause{}
			continue
		}
		t := u.classify(result.err)
		if t.code == codeAuth && u.afterRefusal(ctx) {
			t.wait, t.here = waitBackOff, false
		}
		u.countGarbles(result.err)
		if t.halve {
			u.maxMsg = max(wire.MinMessage, result.maxMsg/2)
		}
		u.tell(t)
		next = u.pauseAfter(t, result)
		u.showEndpoints()
	}
	return nil
}

// A result is how one try ended.
type result struct {
	err    error
	ready  time.Time     // when the session was welcomed; zero if it never was
	lasted time.Duration // from then on
	acks   int
	spread time.Duration // the cloud's wish for the time after a loss
	maxMsg int           // bytes; what messages were limited to
	moved  bool          // we ended it ourselves, to go on at another address
	drain  *drainedError // the cloud asked us to leave
}

// proven reports whether the cloud did its work in that session. Only that
// resets the back-off: a server that accepts and then fails is not well.
func (r result) proven() bool { return r.acks > 0 && r.lasted >= provenAfter }

// try makes one connection and serves it to its end.
func (u *Uplink) try(ctx context.Context) result {
	u.token = ""
	u.presented.Store(nil)
	failed := func(err error) result { return result{err: err, maxMsg: u.maxMsg} }
	shown, err := u.credential()
	if err != nil && !(u.o.Unacknowledged && errors.Is(err, errNoCredential)) {
		return failed(err)
	}
	u.token = shown.token
	u.presented.Store(&shown)
	u.set(func(s *Status) { s.State = Connecting })
	connect, open := u.connect, u.open
	if u.o.Unacknowledged {
		connect, open = u.connectPlain, u.openPlain
	}
	l, err := connect(ctx)
	if err != nil {
		return failed(err)
	}
	defer l.raw.Close()
	u.splitFirst(ctx)
	s, err := open(ctx, l)
	if err != nil {
		return failed(err)
	}
	err, moved := u.serve(ctx, s)
	return result{
		err: err, ready: s.ready, lasted: time.Since(s.ready), acks: s.acks,
		spread: s.spread, maxMsg: s.maxMsg, moved: moved, drain: s.drain,
	}
}

// countGarbles switches to JSON when the cloud repeatedly cannot decode what
// this gateway sends: text is what more servers get right.
func (u *Uplink) countGarbles(err error) {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code == wire.CloseUndecodable {
		u.garbles++
	} else {
		u.garbles = 0
	}
}

// codecs are the encodings to offer, the preferred one first.
func (u *Uplink) codecs() []string {
	if u.o.JSON || u.garbles >= garblesToJSON {
		return []string{wire.SubprotocolJSON}
	}
	return []string{wire.SubprotocolCBOR, wire.SubprotocolJSON}
}

// serve runs a session to its end, and beside it what may end it for a better
// one.
func (u *Uplink) serve(ctx context.Context, s *session) (err error, moved bool) {
	s.tune(s.ping)
	own, end := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer end(nil)
	if !u.o.Unacknowledged {
		u.denied = nil
		u.o.Credential.Accepted(time.Time{})
		beside.Go(func() { u.keepRenewed(own, end) })
	}
	if u.endpoint != u.points[0] {
		beside.Go(func() { u.goHome(own, end) })
	}
	err = s.run(own)
	cause := context.Cause(own)
	return err, errors.Is(cause, errMoved) || errors.Is(cause, errRenewed)
}
