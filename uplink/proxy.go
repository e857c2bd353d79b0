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
	"net/url"
	"strings"
	"time"
)

// proxyTimeout is for what lies between the connection to a proxy and its
// word that the cloud is at the other end; it dials the cloud meanwhile.
const proxyTimeout = 20 * time.Second

// A proxy is who makes connections in our place. Nothing but host is ever told.
type proxy struct {
	scheme         string // "http", "https", "socks5"
	host           string // host:port
	user, password string
}

// CheckProxy tells whether an address is one of a proxy that the uplink can
// use: http://, https:// (both by CONNECT) or socks5://, each with an optional
// user:password@. The error does not repeat the address.
func CheckProxy(address string) error {
	_, err := newProxy(address)
	return err
}

var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080"}

func newProxy(address string) (*proxy, error) {
	at, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil || at.Hostname() == "":
		return nil, errors.New("this is not the address of a proxy, such as http://HOST:3128, https://HOST:3129 or socks5://HOST:1080")
	case proxyPorts[at.Scheme] == "":
		return nil, errors.New("a proxy must begin with http://, https:// or socks5://")
	case strings.Trim(at.Path, "/") != "" || at.RawQuery != "" || at.Fragment != "":
		return nil, errors.New("the address of a proxy ends with its port")
	}
	p := &proxy{scheme: at.Scheme, user: at.User.Username()}
	p.password, _ = at.User.Password()
	if len(p.user) > 255 || len(p.password) > 255 {
		return nil, errors.New("user and password of a proxy have at most 255 bytes each")
	}
	port := at.Port()
	if port == "" {
		port = proxyPorts[at.Scheme]
	}
	p.host = net.JoinHostPort(at.Hostname(), port)
	return p, nil
}

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

// errNoProxy is something else than a proxy.
var errNoProxy = errors.New("its answer is not that of such a proxy")

// reachThrough asks a proxy for a connection to host. under.raw is connected
// to the proxy.
func (u *Uplink) reachThrough(ctx context.Context, p *proxy, under *transport, host string) error {
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
		return &proxyError{host: p.host, err: err}
	}
	if p.scheme == "https" {
		if err := u.secureProxy(ctx, p, under); err != nil {
			return failed(err)
		}
	}
	talk := p.connect
	if p.scheme == "socks5" {
		talk = p.socks
	}
	if err := talk(under.inner, host); err != nil {
		return failed(err)
	}
	return nil
}

// secureProxy puts TLS between us and the proxy. The TLS to the cloud goes
// through it.
func (u *Uplink) secureProxy(ctx context.Context, p *proxy, under *transport) error {
	var authorities *x509.CertPool
	if u.o.ProxyAuthorities != nil {
		var err error
		if authorities, err = u.o.ProxyAuthorities(); err != nil {
			return err
		}
	}
	name, _, _ := net.SplitHostPort(p.host) // made by JoinHostPort
	secure := tls.Client(under.inner, &tls.Config{ServerName: name, RootCAs: authorities, MinVersion: tls.VersionTLS12, Time: u.now, NextProtos: []string{"http/1.1"}})
	if err := secure.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	under.inner = secure
	return nil
}

// connect speaks HTTP CONNECT (RFC 9110 section 9.3.6).
func (p *proxy) connect(c net.Conn, host string) error {
	ask := "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n"
	if p.user != "" {
		login := base64.StdEncoding.EncodeToString([]byte(p.user + ":" + p.password))
		ask += "Proxy-Authorization: Basic " + login + "\r\n"
	}
	if _, err := io.WriteString(c, ask+"\r\n"); err != nil {
		return err
	}
	// The cloud does not speak first, so nothing of its own is behind the
	// answer, and nothing is lost with the reader.
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(c, 16<<10)), &http.Request{Method: http.MethodConnect})
	if err != nil {
		if isNetwork(err) {
			return err
		}
		return errNoProxy // err may repeat what was sent
	}
	if answer.StatusCode/100 == 2 {
		return nil
	}
	e := &proxyError{host: p.host, status: answer.StatusCode, given: p.user != ""}
	// tinyproxy 1.11 answers 407 without a login and 401 to a wrong one.
	e.login = e.status == http.StatusProxyAuthRequired || e.status == http.StatusUnauthorized
	return e
}
