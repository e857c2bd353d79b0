package cloud_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/identity"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
)

type Clock struct{ boot time.Time }

func (c Clock) Stamp() gateway.Stamp { return gateway.Stamp(time.Since(c.boot).Microseconds()) }
func (c Clock) Anchor() gateway.Anchor {
	return gateway.Anchor{Offset: c.boot.UnixMicro(), Quality: gateway.ClockNTP}
}

// enrol is what the command on the gateway does.
func (g *gatehouse) enrol(dir string, certificate bool) {
	g.Helper()
	way := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: g.pool}, DisableKeepAlives: true}
	_, err := identity.Enrolment{
		URL: "https://" + g.addrs[0], Token: g.once(time.Hour), Certificate: certificate, Dir: dir, Client: &http.Client{Transport: way},
	}.Enroll(g.Context())
	if err != nil {
		g.Fatal(err)
	}
}

// gateway runs a real uplink against one of the servers until the test ends.
func (g *gatehouse) gateway(server int, dir string) *uplink.Uplink {
	g.Helper()
	log := quiet(g)
	up, err := uplink.New(uplink.Options{
		Route: uplink.Route{
			URL: "wss://" + g.addrs[server] + "/v1/gateway", Authorities: func() (*x509.CertPool, error) { return g.pool, nil },
		},
		Identity: uplink.Identity{GatewayID: "plant_7", Credential: identity.New(identity.Options{Dir: dir, Log: log})},
		Store:    uplink.Store{Source: uplinktest.NewStore()}, Time: uplink.Time{Clock: Clock{time.Now()}},
		Conditions: health.New(log), Log: log,
	})
	if err != nil {
		g.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- up.Run(ctx) }()
	g.Cleanup(func() {
		cancel()
		<-ended
	})
	return up
}

func online(t *testing.T, up *uplink.Uplink) {
	t.Helper()
	for end := time.Now().Add(answerWithin); up.Status().State != uplink.Online; <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", up.Status())
		}
	}
}

// A gateway that was off until its certificate had ended exchanges it, and is
// back; the real gateway and the real server.
func TestGatewayIsBackAfterItsCertificateEnded(t *testing.T) {
	g := inGatehouse(t, 1, false, -time.Minute)
	g.serve(time.Hour)
	dir := t.TempDir()
	g.enrol(dir, true)
	online(t, g.gateway(1, dir))
	g.audit("enrolled", "auth_failed", "rotation", "rotated")
}

// With each kind of credential, and one after the other: the next one takes
// the place of the one before when it is used.
func TestGatewayWithEachKindOfCredential(t *testing.T) {
	g := inGatehouse(t, 1, true, time.Hour)
	dir := t.TempDir()
	for _, certificate := range []bool{false, true, false} {
		g.enrol(dir, certificate)
		token, cert, err := identity.New(identity.Options{Dir: dir, Log: quiet(t)}).Show()
		if err != nil || (cert != nil) != certificate || (token != "") == certificate {
			t.Errorf("shows %v, %v", cert, err)
		}
		up := g.gateway(0, dir)
		online(t, up)
	}
}
