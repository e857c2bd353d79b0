package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/rfc6455"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	helloWithin   = 10 * time.Second
	openWithin    = 10 * time.Second // the log may be in trouble
	writeWithin   = 10 * time.Second // a slower reader is not served
	closeWithin   = time.Second
	strikes       = 3 // undecodable messages …
	strikesWithin = time.Minute
)

// A closing is why a session ends: the close code and reason that the gateway
// is told.
type closing struct {
	code   int
	reason string
}

func (c *closing) Error() string { return fmt.Sprintf("closed with %d: %s", c.code, c.reason) }

// A session is one connection of one gateway. The goroutine that made it
// reads from the connection; a second one stores updates and acknowledges.
type session struct {
	server    *Server
	gatewayID string
	id        string   // random, for logs on both sides
	secret    [32]byte // hash of the credential it came with
	conn      *websocket.Conn
	codec     *wire.Codec
	remote    string // address
	log       *slog.Logger
	since     time.Time
	seen      atomic.Int64 // when something last came, ms since 1970

	ctx  context.Context         // done when the session must end
	stop context.CancelCauseFunc // with a *closing, or the error of the connection

	writing sync.Mutex // one data frame at a time

	hello    *wire.Hello // set, like gen, before the session is registered
	gen      uint64
	logGen   uint64 // of the log's connection when the session began to open
	welcomed atomic.Bool
	intake   intake         // from the reading to the storing goroutine
	storing  sync.WaitGroup // the latter, which runs only while something waits

	// Owned by the storing goroutine after open.
	chain    *chain
	state    record.State
	pending  pendingAcks
	pressure pressure
	quick    int             // appends in a row that were
	bare     gateway.EpochID // of bare readings; zero until one comes

	// Owned by the reading goroutine.
	unpacker block.Unpacker
	first    *item // what came in the place of hello, if anything
	struck   []time.Time
	pinged   bool
}

// run lives as long as the connection.
func (x *session) run() {
	defer x.server.end()
	defer x.conn.Close()
	defer x.server.unregister(x)
	// The end of the session must reach a reader that waits.
	unblock := context.AfterFunc(x.ctx, func() { _ = x.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer unblock()
	x.conn.SetReadLimit(wire.DefaultMessage)
	err := x.open()
	if err == nil {
		x.server.storage.works()
		err = x.serve()
	}
	x.server.storage.pressed(x.pressure, calm)
	x.stop(err)
	x.bye(context.Cause(x.ctx))
}

// bye tells the gateway why, if that is ours to tell.
func (x *session) bye(cause error) {
	var c *closing
	switch {
	case errors.As(cause, &c):
	case errors.Is(cause, errSuperseded):
		c = &closing{wire.CloseSuperseded, errSuperseded.Error()}
	case errors.Is(cause, errInterrupted):
		c = &closing{websocket.CloseTryAgainLater, fmt.Sprintf(`{"after":%d}`, interruptFor)}
	}
	x.server.metrics.closed(cause, c)
	if c == nil {
		x.log.Info("session ended", "cause", cause)
		return
	}
	x.log.Info("session closed", "code", c.code, "reason", c.reason)
	msg := websocket.FormatCloseMessage(c.code, c.reason)
	_ = x.conn.WriteControl(websocket.CloseMessage, msg, time.Now().Add(closeWithin))
}

// open takes the hello, appends the open record, takes the place of an older
// session and welcomes.
func (x *session) open() error {
	x.waitFor(helloWithin)
	m, raw, err := x.read()
	if isTimeout(err) {
		return &closing{wire.CloseNoHello, "no hello in time"}
	}
	if err != nil {
		return err
	}
	hello, ok := m.(*wire.Hello)
	if _, bare := m.(*wire.Bare); bare { // a simple client, which knows no hello
		hello, ok = &wire.Hello{GatewayID: x.gatewayID}, true
		x.first = &item{m: m, raw: raw, lane: laneLive}
	}
	switch {
	case !ok:
		return &closing{wire.CloseUndecodable, "the first message must be hello"}
	case hello.GatewayID != x.gatewayID:
		return &closing{wire.CloseForbidden, "gateway_id is not that of the credential"}
	}
	ctx, cancel := context.WithTimeout(x.ctx, openWithin)
	defer cancel()
	// Noted before the first look at the log: if the log's connection breaks from
	// here on, register refuses the session.
	x.logGen = x.server.currentLogGen()
	x.chain = &chain{
		log: x.server.opt.Log, gatewayID: x.gatewayID, trouble: x.trouble, tried: x.server.metrics.tried,
		recall: ledger.Settled(x.server.opt.Log, x.server.opt.KV),
	}
	if x.state, err = openChain(ctx, x.chain, hello); err != nil {
		x.log.Error("cannot open a session", "error", err)
		return &closing{websocket.CloseTryAgainLater, `{"after":30}`}
	}
	// From here on no older session can append, on whichever server it is.
	x.hello, x.gen = hello, x.chain.gen
	x.compare(hello)
	if err := x.server.register(x); err != nil {
		return err
	}
	x.server.announce(x)
	x.log.Info("session opened", "session", x.id, "gen", x.gen, "software", hello.Software, "epochs", len(hello.Epochs), "backlog",
		hello.Backlog.N)
	if err := x.send(x.welcome(hello)); err != nil {
		return err
	}
	// Only now windows may be sent by themselves: before, the welcome says them.
	x.welcomed.Store(true)
	x.server.metrics.count("sessions_open_total", "", "")
	x.server.metrics.backlog.Update(float64(hello.Backlog.N))
	return nil
}

// compare notes what the gateway holds as acknowledged and the log does not
// have: the log has lost it. The gateway goes back, as far as it can.
func (x *session) compare(h *wire.Hello) {
	var first wire.HelloEpoch
	n := 0
	for _, e := range h.Epochs {
		if e.Acked > x.state.Get(e.Epoch).Upto {
			if n++; n == 1 {
				first = e
			}
		}
	}
	if n > 0 {
		x.log.Error("the log has lost readings that were acknowledged; the gateway sends again what it still holds",
			"epochs", n, "first", first.Epoch, "acknowledged", first.Acked, "held", x.state.Get(first.Epoch).Upto)
	}
}

func (x *session) welcome(h *wire.Hello) *wire.Welcome {
	w := &wire.Welcome{
		Session: x.id,
		Gen:     x.gen,
		Time:    wire.Time(time.Now().UnixMicro()),
		Level:   x.server.opt.Log.Level(),
		HB:      x.server.opt.Heartbeat,
		Lim:     wire.Limits{Msg: wire.DefaultMessage, BlockN: wire.MaxBlockN, BlockRaw: wire.MaxBlockRaw},
		Cfg:     x.server.dispatcher.ConfigState(x.ctx, view{x}),
		SpreadS: x.server.spread(),
		RetainS: int(record.Retain.Seconds()),
		Win:     x.pressure.windows(),
		Events:  x.state.NewestEvent(),
		Caps:    []string{"packed"},
	}
	for i := range h.Epochs {
		w.Epochs = append(w.Epochs, x.state.Answer(h, i))
	}
	return w
}

// serve is a session that is open, until it ends. An append under way is
// finished and acknowledged before it returns.
func (x *session) serve() error {
	x.server.notifyOpened(x)
	defer func() { x.server.notifyClosed(x, context.Cause(x.ctx)) }()
	if x.first != nil {
		x.must(x.queue(*x.first))
	}
	err := x.readAll()
	x.stop(err) // first, so that what is still queued is dropped
	x.storing.Wait()
	return err
}

func (x *session) readAll() error {
	hb := x.server.opt.Heartbeat
	silence := time.Duration(hb.PingS*(hb.Miss+1)) * time.Second
	x.conn.SetPingHandler(func(data string) error {
		x.waitFor(silence)
		_ = x.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(closeWithin))
		return nil
	})
	for {
		x.waitFor(silence)
		m, raw, err := x.read()
		if err != nil {
			return err
		}
		if err := x.handle(m, raw); err != nil {
			return err
		}
	}
}

func (x *session) handle(m wire.Message, raw []byte) error {
	switch m := m.(type) {
	case *wire.Update:
		lane := laneLive
		if m.Lane == wire.LaneBacklog {
			lane = laneBacklog
		}
		if m.Packed != nil {
			var err error
			if raw, err = x.unpack(m); err != nil {
				return err
			}
		}
		return x.queue(item{m: m, raw: raw, lane: lane})
	case *wire.Event:
		return x.queue(item{m: m, raw: raw, lane: laneEvents})
	case *wire.Bare:
		return x.queue(item{m: m, raw: raw, lane: laneLive})
	case *wire.Ping:
		return x.pong(m)
	case *wire.Hello:
		return &closing{wire.CloseUndecodable, "a second hello"}
	case *wire.Error:
		x.remark(slog.LevelWarn, "the gateway reports an error", "code", m.Code, "message", m.Message)
		return nil
	case *wire.Status, *wire.Result, *wire.Reported:
		x.server.notifyHeard(x, m)
		return nil
	case *wire.Bye:
		x.server.notifyHeard(x, m)
		return x.goodbye(m)
	case *wire.Pong:
		return nil
	}
	return x.strike(fmt.Errorf("a %T is not for the cloud", m))
}

func (x *session) pong(m *wire.Ping) error {
	now := time.Now()
	if !x.pinged {
		x.pinged = true
		x.server.metrics.offset(x.hello.Clock, m.T0, now)
	}
	return x.send(&wire.Pong{T0: m.T0, T1: now.UnixMicro(), T2: time.Now().UnixMicro()})
}

// queue hands an item to the storing goroutine.
func (x *session) queue(it item) error {
	it.came = time.Now()
	start, err := x.intake.put(it)
	if start {
		x.storing.Go(x.storeQueued)
	}
	return err
}

// interrupted reports whether the connection to the log broke during this
// session (PROTOCOL 2.4 rule 5): it acknowledges no more.
func (x *session) interrupted() bool { return errors.Is(context.Cause(x.ctx), errInterrupted) }

// read gives the next message of a known type. Unknown and malformed ones are
// answered here.
func (x *session) read() (wire.Message, []byte, error) {
	for {
		kind, raw, err := x.conn.ReadMessage()
		if v := rfc6455.Violated(err); v != nil {
			return nil, nil, &closing{rfc6455.CloseCode, v.Why}
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read from gateway: %w", err)
		}
		x.seen.Store(time.Now().UnixMilli())
		if err := x.fits(kind, raw); err != nil {
			return nil, nil, err
		}
		m, err := x.codec.Decode(raw)
		if err == nil {
			return m, raw, nil
		}
		var unknown *wire.UnknownTypeError
		if errors.As(err, &unknown) {
			err = x.send(&wire.Error{Code: "unknown_type", Message: unknown.Error()})
		} else {
			err = x.strike(err)
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

// fits checks the frame of a message by its subprotocol.
func (x *session) fits(kind int, raw []byte) error {
	switch {
	case !x.codec.Text && kind != websocket.BinaryMessage:
		return &closing{websocket.CloseUnsupportedData, x.codec.Subprotocol + " uses binary frames"}
	case x.codec.Text && kind != websocket.TextMessage:
		return &closing{websocket.CloseUnsupportedData, x.codec.Subprotocol + " uses text frames"}
	case x.codec.Text && !utf8.Valid(raw):
		return &closing{websocket.CloseInvalidFramePayloadData, "not UTF-8"}
	}
	return nil
}

// strike answers a message that makes no sense; too many of them end the
// session.
func (x *session) strike(err error) error {
	now := time.Now()
	x.struck = append(x.struck, now)
	x.struck = x.struck[max(0, len(x.struck)-strikes):]
	x.remark(slog.LevelWarn, "message refused", "error", err)
	if len(x.struck) == strikes && now.Sub(x.struck[0]) < strikesWithin {
		return &closing{wire.CloseUndecodable, "too many undecodable messages"}
	}
	return x.send(&wire.Error{Code: "malformed", Message: fmt.Sprintf("%.200s", err)})
}

// waitFor bounds the wait for the next message, but never undoes the end of
// the session.
func (x *session) waitFor(d time.Duration) {
	_ = x.conn.SetReadDeadline(time.Now().Add(d))
	if x.ctx.Err() != nil {
		_ = x.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

func (x *session) send(m wire.Message) error {
	b, err := x.codec.Encode(m)
	if err != nil {
		return err
	}
	kind := websocket.BinaryMessage
	if x.codec.Text {
		kind = websocket.TextMessage
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	_ = x.conn.SetWriteDeadline(time.Now().Add(writeWithin))
	if err := x.conn.WriteMessage(kind, b); err != nil {
		return fmt.Errorf("write to gateway: %w", err)
	}
	return nil
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
