package uplink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/proxy"
	"github.com/fieldgate/fieldgate/uplink/rfc6455"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A line is an open WebSocket that speaks fieldgate.v1.
type line struct {
	ws *websocket.Conn
	*transport
	until time.Time // the end of the cloud's certificate
	codec *wire.Codec
	meter *meter
	once  *sentOnce // on a line to a plain server
}

// A transport is a connection to the cloud, perhaps through a proxy.
type transport struct {
	raw   *metered // the socket; it can be closed at any time without waiting
	inner net.Conn // what TLS goes over: raw, or what a proxy made of it
}

// tune fits the socket to the time between pings.
func (t *transport) tune(ping time.Duration) {
	tune(t.raw.Conn, ping)
	t.raw.m.beat(ping)
}

// A Credential is what a gateway shows to its cloud, and keeps. Its methods are
// called by one goroutine at a time.
type Credential interface {
	// Show gives what to show now: a token, or a client certificate;
	// fs.ErrNotExist: nothing yet. It is asked anew at every try.
	Show() (token string, cert *tls.Certificate, err error)
	// Accepted is told that the cloud welcomed what was shown last, and what
	// time it is there; zero: not known yet, it will be told again.
	Accepted(now time.Time)
	// Refused is told that the cloud refused it, and reports whether another
	// try makes sense soon.
	Refused() (again bool)
	// Renew gives the body of a request for the next credential when it is
	// time for one, else nil. refused: the present certificate was, and may
	// have ended.
	Renew(now time.Time, refused bool) ([]byte, error)
	// Renewed takes the cloud's answer; without an error Show gives the next
	// credential from now on.
	Renewed(answer []byte, now time.Time) error
}

// A credential is what was shown at a try.
type credential struct {
	token string
	cert  *tls.Certificate
}

func (c credential) same(o credential) bool {
	if c.token != o.token || (c.cert == nil) != (o.cert == nil) {
		return false
	}
	return c.cert == nil || bytes.Equal(c.cert.Certificate[0], o.cert.Certificate[0])
}

// credential reads what to show. What is secret is in none of the errors.
func (u *Uplink) credential() (credential, error) {
	token, cert, err := u.o.Credential.Show()
	if errors.Is(err, fs.ErrNotExist) {
		return credential{}, errNoCredential
	}
	if err != nil {
		return credential{}, &credentialError{err}
	}
	token = strings.TrimSpace(token)
	bad := token == "" || len(token) > 1024 || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
	if cert == nil && bad {
		return credential{}, &credentialError{errors.New("what is there is not a token (one line, fg1_<id>_<secret>)")}
	}
	return credential{token, cert}, nil
}

// now is the time that certificates are checked against. A board without a
// battery boots in 1970; the floor is a time that has certainly passed.
func (u *Uplink) now() time.Time {
	floor := u.floor()
	if u.atFloor.Load() {
		return floor
	}
	now := time.Now()
	if c := u.o.Clock; c != nil && c.Anchor().Quality == gateway.ClockSession {
		now = c.Anchor().Wall(c.Stamp()) // the system clock is not set by it
	}
	if floor.After(now) {
		return floor
	}
	return now
}

// floor is the zero time if there is none.
func (u *Uplink) floor() time.Time {
	if u.o.Floor == nil {
		return time.Time{}
	}
	return u.o.Floor()
}

// aheadOfTime reports whether a certificate has ended only by a clock that
// nobody ever set, and had not ended at the floor. Then it is checked at the
// floor: a board that boots in 2099 connects as one that boots in 1970 does,
// and learns the time.
//
// That is no weaker than 1970 is: either way a certificate is taken that ended
// between the floor and today, which is of use only to who has its key. A
// clock that NTP, an RTC or a session has set is believed.
func (u *Uplink) aheadOfTime(err error) bool {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired || u.o.Clock == nil || u.o.Clock.Anchor().Quality != gateway.ClockNone {
		return false
	}
	floor, cert := u.floor(), invalid.Cert
	return !floor.IsZero() && u.now().After(cert.NotAfter) && !floor.After(cert.NotAfter) && !floor.Before(cert.NotBefore)
}

// authorities reads who may sign the cloud's certificate; nil: whom the
// system trusts.
func (u *Uplink) authorities() (*x509.CertPool, error) {
	if u.o.Authorities == nil {
		return nil, nil
	}
	pool, err := u.o.Authorities()
	if err != nil {
		return nil, &authorityError{err}
	}
	return pool, nil
}

// connect makes a line; where only a clock that nobody set stands in the way
// of a certificate, at the second try.
func (u *Uplink) connect(ctx context.Context) (*line, error) {
	u.atFloor.Store(false)
	l, err := u.connectNow(ctx)
	if err == nil || !u.aheadOfTime(err) {
		return l, err
	}
	u.o.Log.Warn("this board's clock says a time that nothing confirms and at which the cloud's certificate has ended; "+
		"the certificate is checked at the latest time that is known to have passed",
		"clock", time.Now().UTC().Format(time.DateTime), "checked_at", u.floor().UTC().Format(time.DateTime))
	u.atFloor.Store(true)
	return u.connectNow(ctx)
}

// connectNow dials, shakes hands and upgrades, each with its own time limit.
func (u *Uplink) connectNow(ctx context.Context) (*line, error) {
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
	ws, until, err := u.upgrade(ctx, under, authorities)
	if err != nil {
		under.raw.Close()
		return nil, err
	}
	return &line{ws: ws, transport: under, until: until, codec: wire.CodecOf(ws.Subprotocol()), meter: u.meter}, nil
}

// reach makes a connection to an address of the cloud, through the proxy if
// there is one.
func (u *Uplink) reach(ctx context.Context, to *endpoint) (*transport, error) {
	t := &transport{}
	route := proxy.Route{Proxy: u.o.Proxy, Authorities: u.o.ProxyAuthorities, Now: u.now,
		Dial: func(ctx context.Context, host string) (net.Conn, error) {
			raw, err := u.dial(ctx, host)
			if err != nil {
				return nil, err
			}
			t.raw = raw
			return raw, nil
		}}
	inner, err := route.Connect(ctx, to.host)
	if err != nil {
		return nil, err
	}
	t.inner = inner
	return t, nil
}

func (u *Uplink) dial(ctx context.Context, host string) (*metered, error) {
	u.at("dial")
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	socket, err := u.o.Dial(ctx, "tcp", host)
	if err != nil {
		return nil, &stageError{"dial", dialTimeout, err}
	}
	tune(socket, defaultPing)
	return &metered{Conn: socket, m: u.meter}, nil
}

// secure shakes hands with who must be the cloud.
func (u *Uplink) secure(ctx context.Context, to *endpoint, under *transport, authorities *x509.CertPool) (*tls.Conn, error) {
	u.at("TLS")
	name, _, _ := net.SplitHostPort(to.host) // made by JoinHostPort
	conf := &tls.Config{ServerName: gateway.CertificateName(name), RootCAs: authorities, MinVersion: tls.VersionTLS12, Time: u.now}
	if c := u.presented.Load(); c != nil && c.cert != nil {
		conf.Certificates = []tls.Certificate{*c.cert}
	}
	secure := tls.Client(under.inner, conf)
	ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, &stageError{"TLS", tlsTimeout, err}
	}
	return secure, nil
}

// upgrade makes a WebSocket of a connection, and gives the end of the
// certificate on it.
func (u *Uplink) upgrade(ctx context.Context, under *transport,
	authorities *x509.CertPool) (ws *websocket.Conn, until time.Time, err error) {
	secure, err := u.secure(ctx, u.endpoint, under, authorities)
	if err != nil {
		return nil, until, err
	}
	u.at("upgrade")
	dialer := websocket.Dialer{
		NetDialTLSContext: func(context.Context, string, string) (net.Conn, error) { return rfc6455.Client(secure), nil },
		HandshakeTimeout:  upgradeTimeout,
		Subprotocols:      u.codecs(),
	}
	ws, answer, err := dialer.DialContext(ctx, u.url, u.authorization())
	if err != nil && answer != nil {
		return nil, until, refusal(answer)
	}
	if err != nil {
		return nil, until, unanswered(err)
	}
	if wrong := rfc6455.WrongAnswer(answer, u.codecs()); wrong != "" {
		return nil, until, &foreignError{wrong}
	}
	if ws.Subprotocol() == "" {
		return nil, until, &foreignError{"it accepts WebSockets but chose none of " + strings.Join(u.codecs(), ", ")}
	}
	ws.SetReadLimit(wire.DefaultMessage)
	return ws, secure.ConnectionState().PeerCertificates[0].NotAfter, nil
}

// unanswered is the error where no answer to the upgrade could be read.
func unanswered(err error) error {
	if v := rfc6455.Violated(err); v != nil {
		return &foreignError{"it sends " + v.Why}
	}
	return &stageError{"upgrade", upgradeTimeout, err}
}

// authorization is the header of who shows a token.
func (u *Uplink) authorization() http.Header {
	if u.token == "" {
		return http.Header{}
	}
	return http.Header{"Authorization": {"Bearer " + u.token}}
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
	l.meter.message(m, len(data))
	return l.writeFrame(data)
}

func (l *line) writeFrame(data []byte) error {
	if l.plain() {
		return l.writeLines(data)
	}
	return l.writeMessage(data)
}

func (l *line) writeMessage(data []byte) error {
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
	if v := rfc6455.Violated(err); v != nil {
		l.close(rfc6455.CloseCode, v.Why)
		return nil, &protocolError{"it sends " + v.Why}
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if kind == websocket.TextMessage && !utf8.Valid(data) { // RFC 6455 section 8.1
		l.close(websocket.CloseInvalidFramePayloadData, "text that is not UTF-8")
		return nil, &protocolError{"it sends text that is not UTF-8"}
	}
	if kind != l.frame() && !l.plain() {
		l.close(websocket.CloseUnsupportedData, "the wrong kind of frame")
		return nil, &foreignError{"it sends the wrong kind of frames on " + l.codec.Subprotocol}
	}
	m, err := l.codec.Decode(data)
	l.meter.message(m, len(data))
	if _, pong := m.(*wire.Pong); pong {
		l.raw.sample()
		l.meter.save()
	}
	return m, err
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
