package cloud_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// What RFC 6455 forbids, byte by byte, over TLS and to the server as it runs
// outside of tests, in both encodings.
func TestForbiddenFrames(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	s.creds = keyring.Credentials{Dir: filepath.Join(s.dir, "gateways")}
	addr, trusted := s.serveTLS(t)
	for _, codec := range []*wire.Codec{wire.CBOR, wire.JSON} {
		t.Run(codec.Subprotocol, func(t *testing.T) {
			ids := 0
			credential := func(t *testing.T) string {
				ids++
				token, err := s.creds.Add(fmt.Sprintf("g-%v-%d", codec.Text, ids))
				if err != nil {
					t.Fatal(err)
				}
				return token
			}
			raw := e2e.Raw{
				Dial: func(t *testing.T) net.Conn {
					conn, err := tls.Dial("tcp", addr, trusted)
					if err != nil {
						t.Fatal(err)
					}
					return conn
				},
				Path: "/v1/gateway",
				Headers: func(t *testing.T) string {
					return "Authorization: Bearer " + credential(t) + "\r\nSec-WebSocket-Protocol: " + codec.Subprotocol + "\r\n"
				},
				Text: codec.Text, Limit: wire.DefaultMessage,
				Serves: func(t *testing.T) {
					token := credential(t)
					d := websocket.Dialer{TLSClientConfig: trusted, Subprotocols: []string{codec.Subprotocol}, HandshakeTimeout: answerWithin}
					conn, _, err := d.Dial("wss://"+addr+"/v1/gateway", auth(token))
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					p := &peer{t, conn, codec}
					p.send(&wire.Hello{GatewayID: fmt.Sprintf("g-%v-%d", codec.Text, ids), Software: "test"})
					recv[*wire.Welcome](p)
				},
			}
			raw.Misbehave(t)
		})
	}
}

// The same on the stream for operators, with permessage-deflate and without.
func TestForbiddenFramesOnTheLiveStream(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	s.creds = keyring.Credentials{Dir: filepath.Join(s.dir, "gateways")}
	addr, trusted := s.serveTLS(t)
	s.add("plant_7")
	for _, offer := range []string{"", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"} {
		t.Run(offer, func(t *testing.T) {
			raw := e2e.Raw{
				Dial: func(t *testing.T) net.Conn {
					conn, err := tls.Dial("tcp", addr, trusted)
					if err != nil {
						t.Fatal(err)
					}
					return conn
				},
				Path:    "/v1/live",
				Headers: func(*testing.T) string { return "Authorization: Bearer " + operatorToken + "\r\n" + offer },
				Text:    true, Deflate: offer != "", Limit: 16 << 10,
				Serves: func(t *testing.T) {
					d := websocket.Dialer{TLSClientConfig: trusted, HandshakeTimeout: answerWithin}
					conn, _, err := d.Dial("wss://"+addr+"/v1/live", auth(operatorToken))
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					_ = conn.SetReadDeadline(time.Now().Add(answerWithin))
					if _, _, err := conn.ReadMessage(); err != nil {
						t.Error(err)
					}
				},
			}
			raw.Misbehave(t)
		})
	}
}

// serveTLS runs a server without limits of admission until the test ends.
func (s *site) serveTLS(t *testing.T) (addr string, trusted *tls.Config) {
	t.Helper()
	cert, err := keyring.Certificate(s.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(s.dir, keyring.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	trusted = &tls.Config{RootCAs: x509.NewCertPool()}
	trusted.RootCAs.AppendCertsFromPEM(ca)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.log = openLog(t, filepath.Join(s.dir, "log"), 0)
	s.server = cloud.New(cloud.Options{
		Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log,
		Credentials: s.creds, OperatorToken: operatorToken, Logger: quiet(t),
		Admission: cloud.Admission{PerSecond: -1, PerAddress: -1, PerGateway: -1},
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(ctx, ln, cert) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(answerWithin):
			t.Error("the server does not end")
		}
		s.log.Close()
	})
	return ln.Addr().String(), trusted
}
