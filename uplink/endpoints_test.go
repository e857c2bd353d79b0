package uplink_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const second = "second.test:443"

// another makes a second cloud, at an address of its own, behind the first in
// the order.
func (w *testbed) another(o *uplink.Options, at string) *uplinktest.Cloud {
	w.Helper()
	name, _, _ := strings.Cut(at, ":")
	secure, err := w.ca.Server(name, w.certBegin, w.certBegin.AddDate(4, 0, 0))
	if err != nil {
		w.Fatal(err)
	}
	c := &uplinktest.Cloud{Token: token}
	c.Serve(w.net.Listen(at), secure)
	w.closers = append(w.closers, closer(c.Close))
	o.URLs = append(o.URLs, "wss://"+at+"/v1/gateway?secret=in-query")
	return c
}

type closer func()

func (c closer) Close() error { c(); return nil }

// at gives the name of the cloud of the present session.
func (w *testbed) at() string {
	s := w.up.Status()
	if s.State != uplink.Online {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(s.Endpoint, "wss://"), "/v1/gateway")
}

func (w *testbed) isAt(limit time.Duration, where string) {
	w.Helper()
	w.until(limit, "at "+where, func() bool { return w.at() == where })
}

// The first address fails: the second serves. When the first answers again, it
// is gone back to within the hour, and nothing is lost or doubled.
func TestSeveralAddresses(t *testing.T) {
	var other *uplinktest.Cloud
	inTestbed(t, func(w *testbed, o *uplink.Options) { other = w.another(o, second) }, func(w *testbed) {
		w.isAt(time.Minute, "cloud.test")
		w.pass(2 * time.Minute)
		w.net.Refuse(address, true)
		w.net.Cut()
		w.isAt(time.Minute, second)
		if c := w.condition("uplink_unreachable"); c != "" {
			t.Errorf("connected, and still says %q", c)
		}
		all := w.up.Status().Endpoints
		if len(all) != 2 || all[0].URL != "wss://cloud.test/v1/gateway" || all[0].Failures == 0 ||
			!strings.Contains(all[0].LastError, "refuses the connection") ||
			all[0].Present || all[0].Online.IsZero() || !all[1].Present || all[1].Failures != 0 || all[1].Online.IsZero() {
			t.Errorf("%+v", all)
		}
		w.pass(3 * time.Hour) // looks in vain, and disturbs nobody
		if n := len(other.Hellos()); n != 1 || w.at() != second {
			t.Errorf("%d sessions with the second address, at %s", n, w.at())
		}
		w.net.Refuse(address, false)
		w.store.Append(10)
		w.isAt(time.Hour, "cloud.test")
		if strings.Contains(w.log.String(), "gateway stops") {
			t.Error("that is not a stop")
		}
		w.complete(time.Minute)
	})
}

// After a session that was proven the first address comes first again.
func TestBackToTheFirst(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { w.another(o, second) }, func(w *testbed) {
		w.net.Refuse(address, true)
		w.isAt(time.Minute, second)
		w.store.Append(1)
		w.pass(2 * time.Minute)
		w.net.Refuse(address, false)
		w.net.Cut()
		w.isAt(time.Minute, "cloud.test")
	})
}

// While it is connected to another address than the first, it looks whether
// that one answers again, of which the status of the session tells nothing.
func TestLooksForTheFirst(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { w.another(o, second) }, func(w *testbed) {
		w.net.Refuse(address, true)
		w.isAt(time.Minute, second)
		dials := w.net.Dials()
		w.pass(46 * time.Minute)
		if n, s := w.net.Dials()-dials, w.up.Status(); n != 1 || s.State != uplink.Online || s.Stage != "" {
			t.Errorf("looked %d times: %+v", n, s)
		}
		w.net.Refuse(address, false)
		w.pass(46 * time.Minute)
		w.isAt(time.Minute, "cloud.test")
		w.pass(10 * time.Hour)
		if n := w.net.Dials() - dials; n > 6 {
			t.Errorf("dialled %d times after it was back", n)
		}
	})
}

// An address that wants to be left alone is, while the others are tried; so is
// one that refuses the credential.
func TestAnAddressThatAsksToBeLeftAlone(t *testing.T) {
	for status, alone := range map[int]time.Duration{
		http.StatusServiceUnavailable: 10 * time.Minute, http.StatusUnauthorized: 5 * time.Minute,
	} {
		var other *uplinktest.Cloud
		asked := 0
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			other = w.another(o, second)
			w.cloud.OnUpgrade = func(a http.ResponseWriter, _ *http.Request) bool {
				asked++
				a.Header().Set("Retry-After", "600")
				a.WriteHeader(status)
				return true
			}
			other.OnHello = func(p *uplinktest.Peer, _ *wire.Hello) bool { p.Close(1011, "not today"); return true }
		}, func(w *testbed) {
			w.pass(alone)
			if asked != 1 || len(other.Hellos()) < 5 {
				t.Errorf("%d: asked %d times within %v, the other %d times", status, asked, alone, len(other.Hellos()))
			}
			if u := w.up.Status().Endpoints[0].Until; status == http.StatusServiceUnavailable && !u.IsZero() && time.Until(u) > 6*time.Minute {
				t.Errorf("until %v", u)
			}
			w.pass(70 * time.Minute)
			if asked < 2 {
				t.Errorf("%d: never asked again", status)
			}
		})
	}
}

// When all want to be left alone, all are.
func TestAllAskToBeLeftAlone(t *testing.T) {
	var tries atomic.Int32
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		refuse := func(a http.ResponseWriter, _ *http.Request) bool {
			tries.Add(1)
			a.Header().Set("Retry-After", "600")
			a.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		w.another(o, second).OnUpgrade = refuse
		w.cloud.OnUpgrade = refuse
	}, func(w *testbed) {
		w.pass(599 * time.Second)
		if n := tries.Load(); n != 2 {
			t.Errorf("%d tries", n)
		}
		w.pass(10 * time.Second)
		if n := tries.Load(); n != 4 {
			t.Errorf("%d tries", n)
		}
	})
}

// A cloud that drains says when to come back, and where: that address is tried
// once, then the configured ones hold again.
func TestDrainedToAnotherAddress(t *testing.T) {
	for url, want := range map[string]string{
		"wss://" + second + "/v1/gateway": second, "": "cloud.test", "ws://" + second: "cloud.test", "wss://nobody.test/": "cloud.test",
	} {
		var began time.Time
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.another(o, second)
			o.URLs = nil
			w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
				p.Send(&wire.Drain{AfterMS: 120_000, SpreadMS: 10_000, Reason: "deploy", URL: url})
				p.Close(1012, "drained")
				began = time.Now()
				w.cloud.OnUpdate = nil
				return true
			}
		}, func(w *testbed) {
			w.online()
			w.store.Append(1)
			w.until(5*time.Second, "drained", func() bool { return w.up.Status().State == uplink.Waiting })
			w.up.Wake() // cannot make it shorter
			w.pass(119 * time.Second)
			if w.up.Status().State != uplink.Waiting {
				t.Errorf("%q: back after %v", url, time.Since(began))
			}
			w.isAt(20*time.Second, want)
		})
	}
}

func TestAddressesAreChecked(t *testing.T) {
	for _, bad := range []string{"ws://b.test", "wss://", "wss://user:canary@b.test", "wss://b.test/\x00canary"} {
		_, err := uplink.New(uplink.Options{
			Route:    uplink.Route{URL: "wss://a.test/", URLs: []string{bad}},
			Identity: uplink.Identity{GatewayID: "g", Credential: uplinktest.Token(nil)},
		})
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
