package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A line is an open WebSocket that speaks fieldgate.v1, and the connection
// under its TLS, which can be closed at any time without waiting.
type line struct {
	ws    *websocket.Conn
	raw   net.Conn
	until time.Time // the end of the cloud's certificate
	codec *wire.Codec
}

// credential reads the token. The token itself is in none of the errors.
func (u *Uplink) credential() (string, error) {
	token, err := u.o.Token()
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoCredential
	}
	if err != nil {
		return "", &credentialError{err}
	}
	token = strings.TrimSpace(token)
	if token == "" || len(token) > 1024 || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", &credentialError{errors.New("what is there is not a token (one line, fg1_<id>_<secret>)")}
	}
	return token, nil
}

// now is the time that certificates are checked against. A board without a
// battery boots in 1970; the floor is a time that has certainly passed.
func (u *Uplink) now() time.Time {
	now := time.Now()
	if u.o.Floor == nil {
		return now
	}
	if floor := u.o.Floor(); floor.After(now) {
		return floor
	}
	return now
}

// connect dials, shakes hands and upgrades, each with its own time limit.
func (u *Uplink) connect(ctx context.Context) (*line, error) {
	var authorities *x509.CertPool
	if u.o.Authorities != nil {
		var err error
		if authorities, err = u.o.Authorities(); err != nil {
			return nil, &authorityError{err}
		}
	}
	raw, err := u.dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	ws, until, err := u.upgrade(ctx, raw, authorities)
	if err != nil {
		raw.Close()
		return nil, err
	}
	return &line{ws: ws, raw: raw, until: until, codec: wire.CodecOf(ws.Subprotocol())}, nil
}

func (u *Uplink) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := u.o.Dial(ctx, "tcp", u.host)
	if err != nil {
		return nil, &stageError{"dial", dialTimeout, err}
	}
	return raw, nil
}

// upgrade makes a WebSocket of a connection, and gives the end of the
// certificate on it.
func (u *Uplink) upgrade(ctx context.Context, raw net.Conn, authorities *x509.CertPool) (ws *websocket.Conn, until time.Time, err error) {
	host, _, _ := net.SplitHostPort(u.host) // made by JoinHostPort
	secure := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: authorities, MinVersion: tls.VersionTLS12, Time: u.now})
	tlsCtx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	if err := secure.HandshakeContext(tlsCtx); err != nil {
		return nil, until, &stageError{"TLS", tlsTimeout, err}
	}
	dialer := websocket.Dialer{
		NetDialTLSContext: func(context.Context, string, string) (net.Conn, error) { return secure, nil },
		HandshakeTimeout:  upgradeTimeout,
		Subprotocols:      u.codecs(),
	}
	ws, answer, err := dialer.DialContext(ctx, u.o.URL, http.Header{"Authorization": {"Bearer " + u.token}})
	if err != nil && answer != nil {
		return nil, until, refusal(answer)
	}
	if err != nil {
		return nil, until, &stageError{"upgrade", upgradeTimeout, err}
	}
	// gorilla takes whatever the server chose, asked for or not.
	if !slices.Contains(u.codecs(), ws.Subprotocol()) || answer.Header.Get("Sec-Websocket-Extensions") != "" {
		return nil, until, &foreignError{"it accepts WebSockets but chose none of " + strings.Join(u.codecs(), ", ")}
	}
	ws.SetReadLimit(wire.DefaultMessage)
	return ws, secure.ConnectionState().PeerCertificates[0].NotAfter, nil
}

// refusal is the error for an HTTP answer that is not an upgrade.
func refusal(answer *http.Response) error {
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return &foreignError{"its answer to the WebSocket upgrade is wrong"}
	}
	return &httpError{answer.StatusCode, retryAfter(answer.Header)}
}

// retryAfter reads the header in either of its forms (RFC 9110 section 10.2.3).
// A date is taken by the server's own clock: ours may be in 1970.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(v); err == nil {
		return min(max(0, time.Duration(seconds)), hintMax/time.Second) * time.Second
	}
	at, err := http.ParseTime(v)
	now, err2 := http.ParseTime(h.Get("Date"))
	if err != nil || err2 != nil {
		return 0
	}
	return max(0, at.Sub(now))
}

// write sends one message, before the session has its writer.
func (l *line) write(m wire.Message) error {
	data, err := l.codec.Encode(m)
	if err != nil {
		return err
	}
	return l.writeFrame(data)
}

func (l *line) writeFrame(data []byte) error {
	_ = l.ws.SetWriteDeadline(time.Now().Add(writeTimeout)) // never fails in gorilla
	if err := l.ws.WriteMessage(l.frame(), data); err != nil {
		return &writeError{err}
	}
	return nil
}

// read waits for the next message at most for timeout. An error that is
// wire.ErrMalformed or a *wire.UnknownTypeError leaves the line usable.
func (l *line) read(timeout time.Duration) (wire.Message, error) {
	if err := l.ws.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	kind, data, err := l.ws.ReadMessage()
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if kind != l.frame() {
		l.close(websocket.CloseUnsupportedData, "the wrong kind of frame")
		return nil, &foreignError{"it sends the wrong kind of frames on " + l.codec.Subprotocol}
	}
	return l.codec.Decode(data)
}

// frame is the kind of frame that this encoding uses.
func (l *line) frame() int {
	if l.codec.Text {
		return websocket.TextMessage
	}
	return websocket.BinaryMessage
}

// close tells the other side why; it does not wait.
func (l *line) close(code int, reason string) {
	frame := websocket.FormatCloseMessage(code, reason)
	_ = l.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(closeGrace)) // the line ends either way
}
