package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/uplink/rfc6455"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A plain server takes WebSocket messages and acknowledges nothing: each
// reading is sent once, as one JSON object, and what was written counts as
// sent. Nobody can tell whether it arrived, and that is said aloud.

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

// tellUnproved says for as long as the uplink runs that delivery is not proved.
func (u *Uplink) tellUnproved() {
	u.o.Conditions.Raise(codeUnproved, "", health.Warning, "readings go to "+u.host+", which acknowledges nothing ([uplink] unacknowledged): whether they arrive is not known, and what was sent is kept only by its age ([store] history)")
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
		return nil, &stageError{"upgrade", upgradeTimeout, err}
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
	return &line{ws: ws, transport: under, codec: plainCodec, meter: u.meter}, nil
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
	if source, ok := u.o.Source.(SessionSource); ok {
		source.Session(false, 0)
	}
	l.ws.SetPongHandler(func(string) error { return l.ws.SetReadDeadline(time.Now().Add(s.dead)) })
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

// writeLines sends each line as a message of its own.
func (l *line) writeLines(data []byte) error {
	for text := range bytes.Lines(data) {
		if err := l.writeMessage(bytes.TrimSuffix(text, []byte("\n"))); err != nil {
			return err
		}
	}
	return nil
}
