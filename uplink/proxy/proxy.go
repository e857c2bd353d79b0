// Package proxy makes connections to a cloud, straight or through a proxy:
// HTTP CONNECT over TCP or TLS, and SOCKS5. gateway.ParseProxy is the one rule
// for the address of a proxy.
package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// answerWithin is for what lies between the connection to a proxy and its word
// that the cloud is at the other end; the proxy dials the cloud meanwhile.
const answerWithin = 20 * time.Second

// dialWithin is for a connection that Route itself makes.
const dialWithin = 15 * time.Second

// An Error is a failure at, or of, a proxy. Nothing that the proxy says in
// words is in it: it may repeat the password.
type Error struct {
	Host   string // host:port of the proxy; "": its address could not be had
	Status int    // of the HTTP answer to CONNECT; 0: none
	Socks  byte   // the reply of RFC 1928 section 6; 0: none
	Login  bool   // the proxy wants a user and a password, or others than these
	Given  bool   // these were given
	Err    error  // of the connection, if it was that
}

func (e *Error) Error() string {
	switch {
	case e.Login:
		return "the proxy refuses the login"
	case e.Status != 0:
		return fmt.Sprintf("the proxy answers HTTP %d %s", e.Status, http.StatusText(e.Status))
	case e.Socks != 0:
		return fmt.Sprintf("the proxy answers %d (%s)", e.Socks, socksReplies[e.Socks])
	}
	return "the proxy: " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// ErrNoProxy is in the error for a server that is something else than a proxy
// of the kind that its address says.
var ErrNoProxy = errors.New("its answer is not that of such a proxy")

// maxAnswer is how long the answer of a proxy may be, in bytes.
const maxAnswer = 16 << 10

var errEndless = fmt.Errorf("its answer has no end within %d KiB", maxAnswer>>10)

// A Route is how connections to a cloud are made: straight, or through a
// proxy.
type Route struct {
	// Proxy gives the address of the proxy, read again at every connection;
	// nil, or "": there is none. See gateway.ParseProxy for its form.
	Proxy func() (string, error)
	// Authorities are who may sign the certificate of an https:// proxy, read
	// again at every connection; nil, or a nil pool: whom the system trusts.
	Authorities func() (*x509.CertPool, error)
	// Now is the time to check that certificate against; nil: time.Now.
	Now func() time.Time
	// Dial makes a TCP connection to host:port; nil: net.Dialer does, within 15 s.
	Dial func(ctx context.Context, host string) (net.Conn, error)
}

// Connect makes a connection to host:port. What it gives is the connection of
// Dial, or TLS to the proxy over that. A failure of the proxy is an *Error,
// any other is that of Dial. ctx counts until Connect returns.
func (r Route) Connect(ctx context.Context, host string) (net.Conn, error) {
	address := ""
	if r.Proxy != nil {
		var err error
		if address, err = r.Proxy(); err != nil {
			return nil, &Error{Err: err}
		}
	}
	if address == "" {
		return r.dial(ctx, host)
	}
	at, err := gateway.ParseProxy(address)
	if err != nil {
		return nil, &Error{Err: err}
	}
	via := proxy(at)
	raw, err := r.dial(ctx, via.Host)
	if err != nil {
		return nil, &Error{Host: via.Host, Err: err}
	}
	conn, err := r.through(ctx, &via, raw, host)
	if err != nil {
		_ = raw.Close() // nothing was said over it yet
		return nil, err
	}
	return conn, nil
}

func (r Route) dial(ctx context.Context, host string) (net.Conn, error) {
	if r.Dial != nil {
		return r.Dial(ctx, host)
	}
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return conn, nil
}

// through asks a proxy for a connection to host. raw is connected to the
// proxy.
func (r Route) through(ctx context.Context, p *proxy, raw net.Conn, host string) (conn net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // ends every read and write below
	defer stop()
	failed := func(err error) error {
		if ctx.Err() != nil {
			err = ctx.Err() // else it is the closed connection
		}
		var already *Error
		if errors.As(err, &already) {
			return err
		}
		return &Error{Host: p.Host, Err: err}
	}
	conn = raw
	if p.Scheme == "https" {
		if conn, err = r.secure(ctx, p, raw); err != nil {
			return nil, failed(err)
		}
	}
	talk := p.connect
	if p.Scheme == "socks5" {
		talk = p.socks
	}
	if err := talk(conn, host); err != nil {
		return nil, failed(err)
	}
	return conn, nil
}

// secure puts TLS between us and the proxy. The TLS to the cloud goes
// through it.
func (r Route) secure(ctx context.Context, p *proxy, raw net.Conn) (net.Conn, error) {
	var authorities *x509.CertPool
	if r.Authorities != nil {
		var err error
		if authorities, err = r.Authorities(); err != nil {
			return nil, err
		}
	}
	name, _, _ := net.SplitHostPort(p.Host) // made by JoinHostPort
	secure := tls.Client(raw, &tls.Config{
		ServerName: gateway.CertificateName(name), RootCAs: authorities,
		MinVersion: tls.VersionTLS12, Time: r.Now, NextProtos: []string{"http/1.1"},
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secure, nil
}

// A proxy is asked for connections. Nothing but its host is ever told.
type proxy gateway.Proxy

// connect speaks HTTP CONNECT (RFC 9110 section 9.3.6).
func (p *proxy) connect(c net.Conn, host string) error {
	ask := "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n"
	if p.User != "" {
		login := base64.StdEncoding.EncodeToString([]byte(p.User + ":" + p.Password))
		ask += "Proxy-Authorization: Basic " + login + "\r\n"
	}
	if _, err := io.WriteString(c, ask+"\r\n"); err != nil {
		return err
	}
	// The cloud does not speak first, so nothing of its own is behind the
	// answer, and nothing is lost with the reader.
	limited := &io.LimitedReader{R: c, N: maxAnswer}
	heard := &listener{r: limited}
	answer, err := http.ReadResponse(bufio.NewReader(heard), &http.Request{Method: http.MethodConnect})
	switch {
	case err == nil:
	case limited.N == 0:
		return errEndless
	case errors.Is(heard.err, io.EOF):
		return io.ErrUnexpectedEOF
	case heard.err != nil:
		return heard.err
	default:
		return ErrNoProxy // err may repeat what was sent
	}
	if answer.StatusCode/100 == 2 {
		return nil
	}
	e := &Error{Host: p.Host, Status: answer.StatusCode, Given: p.User != ""}
	// tinyproxy 1.11 answers 407 without a login and 401 to a wrong one.
	e.Login = e.Status == http.StatusProxyAuthRequired || e.Status == http.StatusUnauthorized
	return e
}

// A listener remembers the failure of its connection: that is told apart from
// an answer which is none.
type listener struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (l *listener) Read(b []byte) (n int, err error) {
	n, err = l.r.Read(b)
	l.err = err
	return n, err
}
