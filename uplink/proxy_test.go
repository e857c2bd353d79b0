package uplink_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/proxy"
)

// A login that no other text of a test contains.
const (
	proxyUser     = "gateway-user"
	proxyPassword = "pr0xy.passw0rd"
)

// proxies are real programs of Debian's, each with a login.
var proxies = []struct {
	name   string
	scheme string
	start  func(t *testing.T, addr string)
}{
	{"squid", "http", startSquid},
	{"tinyproxy", "http", startTinyproxy},
	{"microsocks", "socks5", startMicrosocks},
}

func startSquid(t *testing.T, addr string) {
	dir := openDir(t)
	// Its own check of passwords: one line with user and password, one answer.
	check := file(t, dir, "check", "#!/bin/sh\nwhile read -r user password; do\n"+
		"\tif [ \"$user $password\" = '%s %s' ]; then echo OK; else echo ERR; fi\ndone\n", proxyUser, proxyPassword)
	conf := file(t, dir, "squid.conf", `http_port %s
auth_param basic program %s
acl known proxy_auth REQUIRED
http_access allow CONNECT known
http_access deny all
cache deny all
access_log none
cache_log %s/cache.log
pid_filename none
coredump_dir %s
pinger_enable off
shutdown_lifetime 0 seconds
`, addr, check, dir, dir)
	if nobody, err := user.Lookup("proxy"); err == nil && os.Getuid() == 0 {
		uid, _ := strconv.Atoi(nobody.Uid)
		if err := os.Chown(dir, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	program(t, addr, "squid", "-N", "-f", conf)
}

func startTinyproxy(t *testing.T, addr string) {
	_, port, _ := net.SplitHostPort(addr)
	conf := file(t, t.TempDir(), "tinyproxy.conf", "Listen 127.0.0.1\nPort %s\nTimeout 600\nMaxClients 20\nAllow 127.0.0.1\nBasicAuth %s %s\n",
		port, proxyUser, proxyPassword)
	program(t, addr, "tinyproxy", "-d", "-c", conf)
}

func startMicrosocks(t *testing.T, addr string) {
	_, port, _ := net.SplitHostPort(addr)
	program(t, addr, "microsocks", "-i", "127.0.0.1", "-p", port, "-u", proxyUser, "-P", proxyPassword)
}

// via gives an address of a proxy with a login.
func via(scheme, addr, password string) func() (string, error) {
	login := ""
	if password != "" {
		login = proxyUser + ":" + password + "@"
	}
	return func() (string, error) { return scheme + "://" + login + addr + "\n", nil }
}

func TestThroughRealProxies(t *testing.T) {
	t.Parallel()
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			s := onLoopback(t)
			addr := freeAddr(t)
			p.start(t, addr)
			s.store.Append(500)
			o := s.options()
			o.Proxy = via(p.scheme, addr, proxyPassword)
			stop := s.run(o)
			s.online()
			s.complete()
			stop()
			if err := s.request(o); err != nil {
				t.Errorf("a request beside sessions: %v", err)
			}

			for _, wrong := range []struct{ password, says string }{
				{"another", "refuses the user name or the password"}, {"", "wants a user name and a password"},
			} {
				o.Proxy = via(p.scheme, addr, wrong.password)
				stop := s.run(o)
				s.says("uplink_proxy", addr, wrong.says)
				stop()
				if err := s.request(o); err == nil || !strings.Contains(err.Error(), "the proxy refuses the login") ||
					strings.Contains(err.Error(), proxyPassword) {
					t.Errorf("a request beside sessions: %v", err)
				}
			}
			s.toldNoPassword()
		})
	}
}

// A proxy that cannot reach the cloud, or may not.
func TestProxyThatDoesNotConnect(t *testing.T) {
	t.Parallel()
	s := onLoopback(t)
	o := s.options()
	o.URL = "wss://" + freeAddr(t) + "/v1/gateway"
	for _, p := range proxies[1:] {
		addr := freeAddr(t)
		p.start(t, addr)
		o.Proxy = via(p.scheme, addr, proxyPassword)
		stop := s.run(o)
		s.says("uplink_proxy", "the proxy at "+addr+" cannot connect to 127.0.0.1:")
		stop()
	}
	addr := freeAddr(t)
	conf := file(t, t.TempDir(), "tinyproxy.conf", "Listen 127.0.0.1\nPort %s\nAllow 127.0.0.1\nConnectPort 443\n",
		addr[strings.LastIndexByte(addr, ':')+1:])
	program(t, addr, "tinyproxy", "-d", "-c", conf)
	o.Proxy = via("http", addr, "")
	stop := s.run(o)
	s.says("uplink_proxy", addr, "does not let this gateway connect to 127.0.0.1:", "403 Forbidden")
	stop()

	o.Proxy = via("http", freeAddr(t), proxyPassword)
	stop = s.run(o)
	s.says("uplink_proxy", "refuses the connection", "[uplink] proxy")
	stop()

	o.Proxy = via("socks5", says(t, "SSH-2.0-OpenSSH_9.2\r\n"), proxyPassword)
	stop = s.run(o)
	s.says("uplink_proxy", "not a proxy of the kind")
	stop()
	o.Proxy = func() (string, error) { return "", os.ErrPermission }
	s.run(o)
	s.says("uplink_proxy", "the address of the proxy cannot be read", "proxy_file")
	s.toldNoPassword()
}

// TLS to the proxy, by an authority of its own, and the cloud's TLS in it.
func TestProxyBehindTLS(t *testing.T) {
	t.Parallel()
	s := onLoopback(t)
	plain, secure := freeAddr(t), freeAddr(t)
	startTinyproxy(t, plain)
	company, pair := s.serverPair("localhost")
	conf := file(t, t.TempDir(), "haproxy.cfg", "defaults\n\tmode tcp\n\ttimeout connect 5s\n\ttimeout client 1m\n\ttimeout server 1m\n"+
		"listen proxy\n\tbind %s ssl crt %s\n\tserver s %s\n", secure, pair, plain)
	program(t, secure, "haproxy", "-f", conf)
	_, port, _ := net.SplitHostPort(secure)
	s.store.Append(200)
	o := s.options()
	o.Proxy = via("https", "localhost:"+port, proxyPassword)
	stop := s.run(o)
	s.says("uplink_proxy", "localhost:"+port, "unknown authority", "proxy_ca")
	stop()
	if err := s.request(o); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("a request through a proxy that nobody vouches for: %v", err)
	}
	o.ProxyAuthorities = func() (*x509.CertPool, error) { return company, nil }
	if err := s.request(o); err != nil {
		t.Errorf("a request beside sessions: %v", err)
	}
	s.run(o)
	s.online()
	s.complete()
	s.toldNoPassword()
}

// request makes an HTTPS request to the cloud on the way of these options.
func (s *loopback) request(o uplink.Options) error {
	reach := func(ctx context.Context, _, host string) (net.Conn, error) {
		return proxy.Route{Proxy: o.Proxy, Authorities: o.ProxyAuthorities}.Connect(ctx, host)
	}
	client := http.Client{Transport: &http.Transport{DialContext: reach,
		TLSClientConfig: &tls.Config{RootCAs: s.ca.Pool}, DisableKeepAlives: true}}
	resp, err := client.Get("https://localhost:" + s.port() + "/v1/enroll")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// A proxy that repeats what it was sent.
func TestProxyThatMisbehaves(t *testing.T) {
	s := onLoopback(t)
	o := s.options()
	addr := says(t, "")
	o.Proxy = via("http", addr, proxyPassword)
	s.run(o)
	s.says("uplink_proxy", addr, "500")
	s.toldNoPassword()
}

// says is a server that greets with these words; without any it repeats what
// it is sent, and never comes to an end.
func says(t *testing.T, words string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			answer := words
			if words == "" {
				b := make([]byte, 1024)
				n, _ := c.Read(b)
				answer = "HTTP/1.1 500 " + strings.ReplaceAll(string(b[:n]), "\r\n", " ") + "\r\n\r\n" + strings.Repeat("x", 32<<10)
			}
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		}
	}()
	return ln.Addr().String()
}

// says waits for a condition and looks for words in it.
func (s *loopback) says(code string, words ...string) {
	s.Helper()
	sentence := ""
	s.until(code, func() bool {
		for _, c := range s.table.List() {
			if c.Code == code {
				sentence = c.Sentence
				return true
			}
		}
		return false
	})
	for _, word := range words {
		if !strings.Contains(sentence, word) {
			s.Errorf("%s says %q, without %q", code, sentence, word)
		}
	}
	s.table.Clear(code, "", "the test goes on")
}

func (s *loopback) toldNoPassword() {
	s.Helper()
	told := s.log.String() + s.up.Status().LastError
	for _, secret := range []string{proxyPassword, "Z2F0ZXdheS11c2Vy"} { // the last: the login in base64
		if strings.Contains(told, secret) {
			s.Errorf("%q is told:\n%s", secret, told)
		}
	}
}

// serverPair writes the certificate and key of another authority, for
// programs, and gives the authority.
func (s *loopback) serverPair(name string) (*x509.CertPool, string) {
	s.Helper()
	ca, secure := s.authority(name)
	cert := secure.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		s.Fatal(err)
	}
	path := filepath.Join(s.TempDir(), "pair.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.Fatal(err)
	}
	return ca.Pool, path
}
