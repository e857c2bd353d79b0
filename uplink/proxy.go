package uplink

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

// proxyTimeout is for what lies between the connection to a proxy and its
// word that the cloud is at the other end; it dials the cloud meanwhile.
const proxyTimeout = 20 * time.Second

// A proxy is asked for connections. Nothing but its host is ever told.
type proxy gateway.Proxy

// A proxyError is a failure at, or of, a proxy. Nothing that the proxy says in
// words is in it: it may repeat the password.
type proxyError struct {
	host   string // "": its address could not be had
	status int    // of the HTTP answer to CONNECT; 0: none
	socks  byte   // the reply of RFC 1928 section 6; 0: none
	login  bool   // it wants a user and a password, or others than these
	given  bool   // these were given
	err    error  // of the connection, if it was that
}

func (e *proxyError) Error() string {
	switch {
	case e.login:
		return "the proxy refuses the login"
	case e.status != 0:
		return fmt.Sprintf("the proxy answers HTTP %d %s", e.status, http.StatusText(e.status))
	case e.socks != 0:
		return fmt.Sprintf("the proxy answers %d (%s)", e.socks, socksReplies[e.socks])
	}
	return "the proxy: " + e.err.Error()
}

func (e *proxyError) Unwrap() error { return e.err }

// answerMost is how long the answer of a proxy may be, in bytes.
const answerMost = 16 << 10

var errEndless = fmt.Errorf("its answer has no end within %d KiB", answerMost>>10)

// errNoProxy is something else than a proxy.
var errNoProxy = errors.New("its answer is not that of such a proxy")

// A way is how connections to a cloud are made: straight, or through a proxy.
type way struct {
	proxy       func() (string, error)                                     // its address; nil, or "": none
	authorities func() (*x509.CertPool, error)                             // of an https:// proxy; nil: the system's
	now         func() time.Time                                           // to check its certificate against
	dial        func(ctx context.Context, host string) (*transport, error) // a connection to host:port
}

// reach makes a connection to host:port.
func (w way) reach(ctx context.Context, host string) (*transport, error) {
	address := ""
	if w.proxy != nil {
		var err error
		if address, err = w.proxy(); err != nil {
			return nil, &proxyError{err: err}
		}
	}
	if address == "" {
		return w.dial(ctx, host)
	}
	at, err := gateway.ParseProxy(address)
	if err != nil {
		return nil, &proxyError{err: err}
	}
	via := proxy(at)
	under, err := w.dial(ctx, via.Host)
	if err != nil {
		return nil, &proxyError{host: via.Host, err: err}
	}
	if err := w.through(ctx, &via, under, host); err != nil {
		under.raw.Close()
		return nil, err
	}
	return under, nil
}

// Reach makes a connection to host:port on the way that an uplink with these
// options takes; Proxy, ProxyAuthorities and Dial count. now is the time to
// check the certificate of a proxy against.
func Reach(ctx context.Context, o Options, now func() time.Time, host string) (net.Conn, error) {
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	m := newMeter(Options{}, func() (time.Time, bool) { return now(), false })
	under, err := way{proxy: o.Proxy, authorities: o.ProxyAuthorities, now: now, dial: func(ctx context.Context, host string) (*transport, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		socket, err := dial(ctx, "tcp", host)
		if err != nil {
			return nil, &stageError{"dial", dialTimeout, err}
		}
		raw := &metered{Conn: socket, m: m}
		return &transport{raw, raw}, nil
	}}.reach(ctx, host)
	if err != nil {
		return nil, err
	}
	return under.inner, nil
}

// through asks a proxy for a connection to host. under.raw is connected to the
// proxy.
func (w way) through(ctx context.Context, p *proxy, under *transport, host string) error {
	ctx, cancel := context.WithTimeout(ctx, proxyTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { under.raw.Close() })
	defer stop()
	failed := func(err error) error {
		if ctx.Err() != nil {
			err = ctx.Err() // else it is the closed connection
		}
		var already *proxyError
		if errors.As(err, &already) {
			return err
		}
		return &proxyError{host: p.Host, err: err}
	}
	if p.Scheme == "https" {
		if err := w.secure(ctx, p, under); err != nil {
			return failed(err)
		}
	}
	talk := p.connect
	if p.Scheme == "socks5" {
		talk = p.socks
	}
	if err := talk(under.inner, host); err != nil {
		return failed(err)
	}
	return nil
}

// secure puts TLS between us and the proxy. The TLS to the cloud goes
// through it.
func (w way) secure(ctx context.Context, p *proxy, under *transport) error {
	var authorities *x509.CertPool
	if w.authorities != nil {
		var err error
		if authorities, err = w.authorities(); err != nil {
			return err
		}
	}
	name, _, _ := net.SplitHostPort(p.Host) // made by JoinHostPort
	secure := tls.Client(under.inner, &tls.Config{ServerName: gateway.CertificateName(name), RootCAs: authorities, MinVersion: tls.VersionTLS12, Time: w.now, NextProtos: []string{"http/1.1"}})
	if err := secure.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	under.inner = secure
	return nil
}

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
	most := &io.LimitedReader{R: c, N: answerMost}
	answer, err := http.ReadResponse(bufio.NewReader(most), &http.Request{Method: http.MethodConnect})
	if err != nil {
		if most.N == 0 {
			return errEndless
		}
		if isNetwork(err) {
			return err
		}
		return errNoProxy // err may repeat what was sent
	}
	if answer.StatusCode/100 == 2 {
		return nil
	}
	e := &proxyError{host: p.Host, status: answer.StatusCode, given: p.User != ""}
	// tinyproxy 1.11 answers 407 without a login and 401 to a wrong one.
	e.login = e.status == http.StatusProxyAuthRequired || e.status == http.StatusUnauthorized
	return e
}
