package cloud

import (
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A gateway that sends a byte a second is not better than a silent one, before
// hello and after it.
func TestTrickleOfAFrame(t *testing.T) {
	hello, err := wire.Encode(&wire.Hello{GatewayID: "g"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		first  string
		within time.Duration
		code   int
	}{
		"before hello": {"", helloWithin, wire.CloseNoHello},
		"after hello":  {string(hello), defaultPingS * (defaultMissPings + 1) * time.Second, 1006},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opt := Options{Log: &cloudtest.Log{}, Credentials: keyring.Credentials{Dir: t.TempDir()},
					Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
				token, err := opt.Credentials.Add("g")
				if err != nil {
					t.Fatal(err)
				}
				s, ln := inMemory(opt), make(pipes)
				hs := &http.Server{Handler: s}
				go func() { _ = hs.Serve(ln) }()
				raw := e2e.Raw{
					Dial: func(*testing.T) net.Conn {
						ours, theirs := net.Pipe()
						ln <- theirs
						return ours
					},
					Path: "/v1/gateway",
					Headers: func(*testing.T) string {
						return "Authorization: Bearer " + token + "\r\nSec-WebSocket-Protocol: " + wire.SubprotocolCBOR + "\r\n"
					},
				}
				if took, code := raw.Trickle(t, c.first); took > c.within+time.Second || code != c.code {
					t.Errorf("it is borne for %v, then close code %d; want %v and %d", took, code, c.within, c.code)
				}
				s.Close()
				close(ln)
				hs.Close()
			})
		})
	}
}
