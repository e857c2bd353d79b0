package proxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/uplink/proxy"
)

// A proxy whose answer has no end costs nothing, whichever kind it is.
func TestProxyWithoutAnEnd(t *testing.T) {
	for scheme, head := range map[string]string{"http": "HTTP/1.1 200 Connection established\r\n", "socks5": "\x05\x00\x05\x00\x00\x03\xff"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan int, 1)
		go func() {
			c, err := ln.Accept()
			n := 0
			if err == nil {
				_, err = io.WriteString(c, head)
			}
			for blob := strings.Repeat("X: "+strings.Repeat("y", 50)+"\r\n", 100); err == nil && n < 64<<20; n += len(blob) {
				_, err = io.WriteString(c, blob)
			}
			sent <- n
		}()
		route := proxy.Route{Proxy: func() (string, error) { return scheme + "://" + ln.Addr().String(), nil }}
		if request(t.Context(), route) == nil {
			t.Errorf("%s: taken for a connection", scheme)
		}
		if n := <-sent; n >= 64<<20 {
			t.Errorf("%s: the gateway took %d MiB", scheme, n>>20)
		}
		_ = ln.Close()
	}
}

// request shakes hands with a cloud through the proxy.
func request(ctx context.Context, route proxy.Route) error {
	const cloud = "cloud.example"
	conn, err := route.Connect(ctx, cloud+":443")
	if err != nil {
		return err
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{ServerName: cloud}).HandshakeContext(ctx)
}

// What goes wrong at a proxy is told by kind, and never in its own words.
func TestProxyErrors(t *testing.T) {
	for name, c := range map[string]struct {
		scheme, says string
		is           func(*proxy.Error) bool
	}{
		"no login given": {"http", "HTTP/1.1 407 secret\r\n\r\n", func(e *proxy.Error) bool { return e.Login && !e.Given && e.Status == 407 }},
		"not allowed":    {"http", "HTTP/1.1 403 secret\r\n\r\n", func(e *proxy.Error) bool { return !e.Login && e.Status == 403 }},
		"no proxy":       {"http", "SSH-2.0-secret\r\n", func(e *proxy.Error) bool { return errors.Is(e, proxy.ErrNoProxy) }},
		"cut off":        {"http", "HTTP/1.1 200", func(e *proxy.Error) bool { return errors.Is(e, io.ErrUnexpectedEOF) }},
		"SOCKS refuses":  {"socks5", "\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", func(e *proxy.Error) bool { return e.Socks == 5 }},
		"SOCKS login":    {"socks5", "\x05\x02", func(e *proxy.Error) bool { return e.Login && !e.Given }},
		"no SOCKS":       {"socks5", "SSH-2.0-secret\r\n", func(e *proxy.Error) bool { return errors.Is(e, proxy.ErrNoProxy) }},
	} {
		t.Run(name, func(t *testing.T) {
			route := proxy.Route{
				Proxy: func() (string, error) { return c.scheme + "://proxy.example", nil },
				Dial: func(context.Context, string) (net.Conn, error) {
					here, there := net.Pipe()
					go func() {
						go io.Copy(io.Discard, there)
						_, _ = io.WriteString(there, c.says)
						_ = there.Close()
					}()
					return here, nil
				},
			}
			_, err := route.Connect(t.Context(), "cloud.example:443")
			var failed *proxy.Error
			if !errors.As(err, &failed) || !c.is(failed) || strings.Contains(err.Error(), "secret") {
				t.Errorf("gives %+v: %v", failed, err)
			}
		})
	}
}
