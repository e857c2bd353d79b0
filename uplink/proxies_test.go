package uplink_test

import (
	"crypto/x509"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"text/template"
	"time"

	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A between is a real program of Debian's in front of the cloud: as it is to be
// set up, with idle timeouts of ten pings (of a second).
var betweens = []struct {
	name string
	ends bool // it ends the TLS of gateways, with a certificate of its own
	conf string
	args []string // the configuration's file follows
}{
	{"haproxy, passing TLS through", false, haproxyConf + `
listen cloud
	mode tcp
	bind {{.Addr}}
	server cloud {{.Cloud}}
`, []string{"haproxy", "-db", "-f"}},
	{"haproxy, ending TLS", true, haproxyConf + `
listen cloud
	mode http
	bind {{.Addr}} ssl crt {{.Pair}}
	server cloud {{.Cloud}} ssl verify required ca-file {{.CA}} sni str(localhost) verifyhost localhost
`, []string{"haproxy", "-db", "-f"}},
	{"nginx, passing TLS through", false, `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
` + nginxConf + `
stream {
	server {
		listen {{.Addr}};
		proxy_pass {{.Cloud}};
		proxy_timeout {{.Idle}};
	}
}
`, []string{"nginx", "-c"}},
	{"nginx, ending TLS", true, nginxConf + `
http {
	access_log off;
	client_body_temp_path {{.Dir}}; proxy_temp_path {{.Dir}}; fastcgi_temp_path {{.Dir}}; uwsgi_temp_path {{.Dir}}; scgi_temp_path {{.Dir}};
	server {
		listen {{.Addr}} ssl;
		ssl_certificate {{.Pair}};
		ssl_certificate_key {{.Pair}};
		location / {
			proxy_pass https://{{.Cloud}};
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection "upgrade";
			proxy_set_header Host $host;
			proxy_read_timeout {{.Idle}};
			proxy_ssl_verify on;
			proxy_ssl_trusted_certificate {{.CA}};
			proxy_ssl_name localhost;
		}
	}
}
`, []string{"nginx", "-c"}},
}

const haproxyConf = `global
	maxconn 100
defaults
	timeout connect 5s
	timeout client {{.Idle}}
	timeout server {{.Idle}}
	timeout tunnel {{.Idle}}
`

const nginxConf = `daemon off;
master_process off;
pid {{.Dir}}/pid;
error_log stderr;
events { worker_connections 64; }
`

// setUp writes the configuration and gives how to start the program.
func (s *loopback) setUp(conf string, args []string, values map[string]string) func() *exec.Cmd {
	s.Helper()
	dir := openDir(s.T)
	values["Dir"] = dir
	path := file(s.T, dir, "conf", "%s", filled(s.T, conf, values))
	return func() *exec.Cmd {
		return program(s.T, values["Addr"], args[0], append(args[1:len(args):len(args)], path)...)
	}
}

func TestThroughRealProxiesOfTheCloud(t *testing.T) {
	for _, b := range betweens {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := onLoopback(t)
			var pings atomic.Int64
			s.cloud.Welcome.HB.PingS, s.cloud.Welcome.HB.Miss = 1, 30
			s.cloud.OnPing = func(*uplinktest.Peer, *wire.Ping) bool { pings.Add(1); return false }
			pool, pair := s.serverPair("localhost")
			if !b.ends {
				pool = s.ca.Pool
			}
			values := map[string]string{"Addr": freeAddr(t), "Cloud": s.addr, "Pair": pair,
				"CA": file(t, t.TempDir(), "ca.pem", "%s", s.ca.PEM()), "Idle": "10s"}
			start := s.setUp(b.conf, b.args, values)
			between := start()
			o := s.options()
			o.URL = "wss://localhost:" + values["Addr"][len("127.0.0.1:"):] + "/v1/gateway"
			o.Authorities = func() (*x509.CertPool, error) { return pool, nil }
			s.store.Append(300)
			s.run(o)
			s.online()
			s.complete()
			// Idle for longer than the program waits: the heartbeat is enough, also when the machine is late with one.
			began, from := time.Now(), pings.Load()
			s.until("idle", func() bool { return pings.Load() >= from+4 && time.Since(began) > 11*time.Second })
			if n := len(s.cloud.Hellos()); n != 1 {
				t.Errorf("%d sessions", n)
			}
			// It restarts while readings come.
			s.store.Append(100)
			_ = between.Process.Kill()
			s.until("cut off", func() bool { return s.up.Status().State != "online" })
			s.store.Append(100)
			start()
			s.online()
			s.complete()
		})
	}
}

// With a timeout shorter than the heartbeat the session would not have lasted:
// the test above can see that.
func TestTooShortATimeoutBetween(t *testing.T) {
	t.Parallel()
	s := onLoopback(t)
	s.cloud.Welcome.HB.PingS = 30
	values := map[string]string{"Addr": freeAddr(t), "Cloud": s.addr, "Idle": "300ms"}
	s.setUp(betweens[0].conf, betweens[0].args, values)()
	o := s.options()
	o.URL = "wss://localhost:" + values["Addr"][len("127.0.0.1:"):] + "/v1/gateway"
	s.run(o)
	s.until("in a second session", func() bool { return len(s.cloud.Hellos()) > 1 })
}

func filled(t *testing.T, text string, values map[string]string) string {
	t.Helper()
	var out strings.Builder
	if err := template.Must(template.New("").Parse(text)).Execute(&out, values); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
