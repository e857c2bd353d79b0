package uplink_test

import (
	"crypto/x509"
	"io/fs"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The file of the authority is looked for at every try.
func TestAuthorityPutInPlace(t *testing.T) {
	var there atomic.Bool
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		real := o.Authorities
		o.Authorities = func() (*x509.CertPool, error) {
			if !there.Load() {
				return nil, &fs.PathError{Op: "open", Path: "/etc/fieldgate/ca.pem", Err: fs.ErrNotExist}
			}
			return real()
		}
	}, func(w *testbed) {
		w.says("uplink_certificate", "/etc/fieldgate/ca.pem", "[uplink] ca")
		w.pass(time.Hour)
		if n := w.net.Dials(); n != 0 {
			t.Errorf("%d dials to somebody who cannot be known", n)
		}
		there.Store(true)
		w.until(6*time.Minute, "online", func() bool { return w.up.Status().State == uplink.Online })
	})
}

// A cloud that takes and loses the same again and again is not sent it for ever.
func TestAcksThatGoUpAndDown(t *testing.T) {
	var got func() []wire.Update
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(10)
		w.store.Append(10)
		w.store.Reopen(true) // a backlog, which no pace slows
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			a := wire.EpochAck{Epoch: m.Epoch}
			if m.First == 1 {
				a.Upto = 10
			}
			p.Send(&wire.Ack{Epochs: []wire.EpochAck{a}})
			time.Sleep(time.Millisecond) // virtual
			return true
		}
		got = w.updates()
	}, func(w *testbed) {
		w.until(2*time.Minute, "told", func() bool { return strings.Contains(w.up.Status().LastError, "its acks go back") })
		w.pass(time.Minute)
		if n := len(got()); n > 1000 {
			t.Errorf("%d updates", n)
		}
	})
}

// The same where nothing is on the way when it loses it: the readings, or only
// the end of the epoch.
func TestAcksThatGoUpAndDownBetweenUpdates(t *testing.T) {
	for _, lost := range []uint64{0, 10} {
		var got func() []wire.Update
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.store.Append(10)
			w.store.Reopen(true)
			w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
				time.Sleep(time.Millisecond) // virtual
				if m.End != nil {
					p.Send(&wire.Ack{Epochs: []wire.EpochAck{{Epoch: m.Epoch, Upto: 10, Done: true}}})
					p.Send(&wire.Ack{Epochs: []wire.EpochAck{{Epoch: m.Epoch, Upto: lost}}})
				} else {
					p.Send(&wire.Ack{Epochs: []wire.EpochAck{{Epoch: m.Epoch, Upto: 10}}})
				}
				return true
			}
			got = w.updates()
		}, func(w *testbed) {
			w.until(2*time.Minute, "told", func() bool { return strings.Contains(w.up.Status().LastError, "its acks go back") })
			w.pass(time.Minute)
			if n := len(got()); n > 1000 {
				t.Errorf("lost back to %d: %d updates", lost, n)
			}
		})
	}
}

// Acks of readings that never were in an epoch that ended orderly.
func TestMoreThanAnOrderlyEndHas(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(10)
		w.store.Reopen(true)
		w.cloud.OnHello = func(p *uplinktest.Peer, m *wire.Hello) bool {
			p.Send(&wire.Welcome{Session: "s", Level: wire.LevelFsynced, Epochs: []wire.EpochAck{
				{Epoch: m.Epochs[0].Epoch, Upto: 11}, {Epoch: m.Epochs[1].Epoch},
			}})
			return true
		}
	}, func(w *testbed) {
		w.says("uplink_foreign", "claims reading 11")
		if st := w.store.All()[0]; st.Acked != 0 || st.Growth != gateway.Closed {
			t.Errorf("%+v", st)
		}
	})
}

// The cloud's time raises the floor, but a time at which the cloud's own
// certificate has ended does not: no certificate would pass after it.
func TestCloudTimeWithinItsCertificate(t *testing.T) {
	var mu sync.Mutex
	var told []time.Time
	used := 0
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.CloudTime = func(at time.Time) { mu.Lock(); told = append(told, at); mu.Unlock() }
		o.SessionTime = func(int64, time.Duration) { mu.Lock(); used++; mu.Unlock() }
		w.cloud.OnPing = func(p *uplinktest.Peer, m *wire.Ping) bool {
			wrong := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
			for _, at := range [][2]int64{{wrong, wrong}, {-wrong, -wrong}, {math.MinInt64, math.MaxInt64}} {
				p.Send(&wire.Pong{T0: m.T0, T1: at[0], T2: at[1]})
				m.T0++ // the others answer nothing that was asked
			}
			return true
		}
	}, func(w *testbed) {
		w.online()
		w.pass(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 1 || told[0].Year() != 2000 {
			t.Errorf("told %v", told)
		}
		if used > 0 || w.up.Status().Clock != nil || strings.Count(w.log.String(), "cannot be right") != 1 {
			t.Errorf("used %d times: %+v\n%s", used, w.up.Status().Clock, w.log)
		}
	})
}

// Whatever the cloud says back, the credential is told to nobody (every other
// test checks the same at its end).
func TestTheCredentialIsToldToNobody(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(3)
		w.cloud.OnHello = func(p *uplinktest.Peer, m *wire.Hello) bool {
			p.Send(&wire.Error{Code: canary, Message: "you said " + token[:15] + "\n" + token[15:]})
			p.Send(&wire.Welcome{Session: token, Level: wire.Level(canary), Epochs: []wire.EpochAck{{Epoch: m.Epochs[0].Epoch}}})
			return true
		}
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			p.Send(&wire.Error{Code: "x", Message: token})
			p.Send(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: wire.NackCode(canary)})
			return true
		}
	}, func(w *testbed) {
		w.online()
		s := w.up.Status()
		w.log.add(s.Session + string(s.Level)) // checked at the end
		w.pass(time.Minute)
		if n := strings.Count(w.log.String(), "did not understand"); n != 1 {
			t.Errorf("a complaint of the cloud is told %d times", n)
		}
	})
}

// A server behind the TLS that speaks something else than HTTP.
func TestServerWithoutHTTP(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.OnUpgrade = func(a http.ResponseWriter, r *http.Request) bool {
			c, _, err := a.(http.Hijacker).Hijack()
			if err != nil {
				panic(err) // the answer of a net/http server always can
			}
			_, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2 " + r.Header.Get("Authorization") + "\r\n\r\n"))
			_ = c.Close()
			return true
		}
	}, func(w *testbed) { w.says("uplink_foreign", "does not speak fieldgate.v1", "no HTTP answer") })
}

// A date in Retry-After is by the server's clock; this board's may be in 1970.
func TestRetryAfterByTheServersClock(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.OnUpgrade = func(a http.ResponseWriter, _ *http.Request) bool {
			a.Header().Set("Date", "Wed, 05 Jun 2024 10:00:00 GMT")
			a.Header().Set("Retry-After", "Wed, 05 Jun 2024 10:01:30 GMT")
			a.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
	}, func(w *testbed) {
		w.until(time.Minute, "turned away", func() bool { return w.up.Status().LastError != "" })
		if wait := time.Until(w.up.Status().NextTry); wait < 89*time.Second || wait > 92*time.Second {
			t.Errorf("waits %v", wait)
		}
	})
}

// A cloud that loses its tail while nothing is on the way, and says so, gets
// it again though there is no new reading.
func TestGoingBackWhileIdle(t *testing.T) {
	var lose atomic.Bool
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(5)
		w.store.Append(5)
		w.cloud.OnPing = func(p *uplinktest.Peer, m *wire.Ping) bool {
			if lose.CompareAndSwap(true, false) {
				w.cloud.Forget(w.growing(), 5)
				p.Send(&wire.Ack{Epochs: []wire.EpochAck{{Epoch: w.growing(), Upto: 5}}})
			}
			return false
		}
	}, func(w *testbed) {
		w.complete(5 * time.Second)
		lose.Store(true)
		w.until(31*time.Second, "lost", func() bool { return !lose.Load() })
		w.complete(5 * time.Second)
		if len(w.cloud.Hellos()) != 1 {
			t.Error("going back costs no session")
		}
	})
}
