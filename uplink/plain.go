package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/uplink/rfc6455"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A plain server takes WebSocket messages and acknowledges nothing: each
// reading is sent at most once, as one JSON object. What was handed to the
// kernel counts as sent, and so does the one reading whose message was on its
// way when the line broke. So no reading comes twice, but for this: after a
// kill or a power cut, what was sent since the card was last written comes
// again, because the card does not know of it.
//
// Nobody can tell whether a reading arrived. Bounds can be told: a server
// answers pings in the order in which it reads (RFC 6455 section 5.5.3), so
// what was sent before an answered ping was read. No more than a few messages
// leave before the answer to the next ping, so that a line that breaks costs
// no more; what was not read for certain is counted as perhaps lost.

const codeUnproved = "uplink_unproved"

// levelUnacknowledged is what an ack of a plain server stands for.
const levelUnacknowledged = wire.Level("unacknowledged")

// plainCodec makes lines of an update, one for each reading, and nothing of
// all else.
var plainCodec = &wire.Codec{Text: true, Encode: plainLines, Decode: func([]byte) (wire.Message, error) { return nil, nil }}

// plainUpdate is one reading for a server that knows no more than this.
type plainUpdate struct {
	Type string `json:"type"`
	wire.Row
	Epoch gateway.EpochID `json:"epoch"`
	Seq   uint64          `json:"seq"`
}

func plainLines(m wire.Message) ([]byte, error) {
	u, ok := m.(*wire.Update)
	if !ok {
		return nil, nil
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	for i, row := range u.Readings {
		if err := lines.Encode(plainUpdate{"update", row, u.Epoch, u.First + uint64(i)}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

const (
	unreadMost = 64 // messages that leave before the server shows that it reads them
	pongWithin = 5 * time.Second
)

// A sentOnce is what a line to a plain server has sent. Its writer owns the
// first four; the session reads them when the writer has ended.
type sentOnce struct {
	lines  uint64 // of the update that is being written, those that count as sent
	whole  bool   // it was written to its end
	window uint64 // messages that may leave unread: more, the more were read
	most   uint64 // of window
	mute   bool   // the server answers no pings: nothing is waited for

	seen  uint64          // of sent, by moved: the session's
	pongs chan struct{}   // an answer came
	done  <-chan struct{} // the session ends

	sent    atomic.Uint64 // on this line, all updates together
	proved  atomic.Uint64 // of these, read by the server
	answers atomic.Bool   // it answered a ping
	asked   atomic.Bool   // how far it has read, without an answer yet
}

// unread counts what the server has not shown to have read.
func (o *sentOnce) unread() uint64 { return o.sent.Load() - o.proved.Load() }

// moved tells whether anything was sent since it was asked last.
func (o *sentOnce) moved() bool {
	n := o.sent.Load()
	moved := n != o.seen
	o.seen = n
	return moved
}

// pingPlain asks the server how far it has read.
func (l *line) pingPlain() {
	l.once.asked.Store(true)
	count := strconv.AppendUint(nil, l.once.sent.Load(), 10)
	_ = l.ws.WriteControl(websocket.PingMessage, count, time.Now().Add(closeGrace)) // a dead line is noticed by the reader
}

// awaitRead waits until the server has read enough for one more message. One
// that answers no pings gets everything as fast as it takes it.
func (l *line) awaitRead() error {
	o := l.once
	if o.mute || o.unread() < o.window {
		return nil
	}
	l.pingPlain()
	late := time.NewTimer(pongWithin)
	defer late.Stop()
	for o.unread() >= o.window {
		select {
		case <-o.pongs:
		case <-late.C:
			if !o.answers.Load() {
				o.mute = true
				return nil
			} // it stopped reading: the session notices when that lasts
		case <-o.done:
			return &writeError{net.ErrClosed}
		}
	}
	o.window = min(2*o.window, o.most)
	return nil
}

// pong takes the answer to a ping.
func (o *sentOnce) pong(count string) {
	o.asked.Store(false)
	o.answers.Store(true)
	if n, err := strconv.ParseUint(count, 10, 64); err == nil && n <= o.sent.Load() && n > o.proved.Load() {
		o.proved.Store(n)
	}
	select {
	case o.pongs <- struct{}{}:
	default: // one is enough
	}
}

// tellUnproved says for as long as the uplink runs that delivery is not proved.
func (u *Uplink) tellUnproved() {
	u.o.Conditions.Raise(codeUnproved, "", health.Warning,
		"readings go to "+u.host+", which acknowledges nothing ([uplink] unacknowledged): "+
			"whether they arrive is not known, and what was sent is kept only by its age ([store] history)")
}

// upgradePlain makes a WebSocket without a subprotocol of a connection.
func (u *Uplink) upgradePlain(ctx context.Context, conn net.Conn) (*websocket.Conn, error) {
	header := http.Header{}
	if u.token != "" {
		header.Set("Authorization", "Bearer "+u.token)
	}
	over := func(context.Context, string, string) (net.Conn, error) { return rfc6455.Client(conn), nil }
	dialer := websocket.Dialer{NetDialContext: over, NetDialTLSContext: over, HandshakeTimeout: upgradeTimeout}
	ws, answer, err := dialer.DialContext(ctx, u.url, header)
	if err != nil && answer != nil {
		return nil, refusal(answer)
	}
	if err != nil {
		return nil, unanswered(err)
	}
	if wrong := rfc6455.WrongAnswer(answer, nil); wrong != "" {
		return nil, &protocolError{wrong}
	}
	ws.SetReadLimit(wire.DefaultMessage)
	return ws, nil
}

// connectPlain dials, and shakes hands unless the address begins with ws://.
func (u *Uplink) connectPlain(ctx context.Context) (*line, error) {
	authorities, err := u.authorities()
	if err != nil {
		return nil, err
	}
	under, err := u.reach(ctx, u.endpoint)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { under.raw.Close() })
	defer stop()
	conn := under.inner
	if u.overTLS {
		conn, err = u.secure(ctx, u.endpoint, under, authorities)
	}
	var ws *websocket.Conn
	if err == nil {
		ws, err = u.upgradePlain(ctx, conn)
	}
	if err != nil {
		under.raw.Close()
		return nil, err
	}
	return &line{ws: ws, transport: under, codec: plainCodec, meter: u.meter,
		once: &sentOnce{window: 1, most: u.plainMost(), pongs: make(chan struct{}, 1)}}, nil
}

// openPlain begins a session with a server that says nothing of itself: where
// the last one ended, the store knows.
func (u *Uplink) openPlain(_ context.Context, l *line) (*session, error) {
	u.tellUnproved()
	w := &wire.Welcome{Session: "plain", Level: levelUnacknowledged}
	for _, st := range u.o.Source.Epochs() {
		w.Epochs = append(w.Epochs, wire.EpochAck{Epoch: st.ID, Upto: st.Acked, Done: st.Done})
	}
	s := newSession(u, l, w)
	u.o.Source.Session(false, 0)
	l.ws.SetPongHandler(func(count string) error {
		l.once.pong(count)
		return l.ws.SetReadDeadline(time.Now().Add(s.dead))
	})
	if err := s.take(w.Epochs); err != nil {
		return nil, err
	}
	u.tellOnline(s, w)
	return s, nil
}

// plain tells whether the other end acknowledges nothing.
func (l *line) plain() bool { return l.codec == plainCodec }

// written takes what was written for arrived: of a plain server there is no
// other sign.
func (s *session) written() error {
	for _, st := range s.u.o.Source.Epochs() {
		t := s.tracks[st.ID]
		if t == nil || len(t.flights) == 0 {
			continue
		}
		f := t.flights[len(t.flights)-1]
		if err := s.note(st, position{upto: min(f.last, st.Last), done: f.end}); err != nil {
			return err
		}
	}
	return nil
}

// plainMost is how many messages may leave unread on the next line.
func (u *Uplink) plainMost() uint64 { return unreadMost >> u.plainBreaks }

// pacePlain learns from how a line ended: a server that ends each after some
// messages, as a limit of rate does, is soon sent one after the other.
func (u *Uplink) pacePlain(o *sentOnce) {
	switch {
	case o.answers.Load() && o.unread() > 0:
		u.plainBreaks = min(u.plainBreaks+2, 6)
	case o.proved.Load() > 16*unreadMost:
		u.plainBreaks = max(u.plainBreaks-1, 0)
	}
}

// settle notes what was sent of the update in whose middle the line ended,
// and counts what the server has perhaps not read. The writer has ended.
func (s *session) settle() {
	once := s.once
	for _, st := range s.u.o.Source.Epochs() {
		t := s.tracks[st.ID]
		if t == nil || len(t.flights) == 0 {
			continue
		}
		f := t.flights[len(t.flights)-1]
		upto, done := f.first-1+once.lines, false
		if once.whole {
			upto, done = min(f.last, st.Last), f.end
		}
		if upto <= st.Acked && !done {
			continue
		}
		// If power dies before the store has this on the card, these readings
		// are sent again.
		if err := s.u.o.Source.Ack(st.ID, upto, done); err != nil {
			s.u.o.Log.Warn("the store could not note what was sent; it may be sent again", "error", err)
		}
	}
	unread := once.unread()
	s.u.pacePlain(once)
	if unread == 0 {
		return
	}
	s.u.set(func(st *Status) { st.PerhapsLost += unread })
	s.u.o.Log.Warn(fmt.Sprintf("the line to the plain server ended; "+
		"%d readings that were sent on it were not shown to be read there, and they are not sent again; "+
		"what the server had read and not worked on yet, nobody can tell", unread),
		"at_most", unread, "sent", once.sent.Load())
}

// writeLines sends each line as a message of its own.
func (l *line) writeLines(data []byte) error {
	l.once.lines, l.once.whole = 0, false
	for text := range bytes.Lines(data) {
		if err := l.awaitRead(); err != nil {
			return err
		}
		before := l.raw.written.Load()
		err := l.writeMessage(bytes.TrimSuffix(text, []byte("\n")))
		if err == nil || l.raw.written.Load() > before { // a part of it may be enough
			l.once.lines++
			l.once.sent.Add(1)
		}
		if err != nil {
			return err
		}
	}
	l.once.whole = true
	if len(data) > 0 && !l.once.asked.Load() {
		l.pingPlain()
	}
	return nil
}
