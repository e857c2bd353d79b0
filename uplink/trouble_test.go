package uplink_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestNewRefusesAddresses(t *testing.T) {
	for url, word := range map[string]string{
		"ws://cloud.test/":              "wss://",
		"https://cloud.test/":           "wss://",
		"wss:///v1":                     "host",
		"wss://me:" + canary + "@cloud": "user name",
		"wss://cloud\x7f" + canary:      "address",
	} {
		_, err := uplink.New(uplink.Options{Route: uplink.Route{URL: url},
			Identity: uplink.Identity{GatewayID: "g", Credential: uplinktest.Token(nil)}})
		if err == nil || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := uplink.New(uplink.Options{Route: uplink.Route{URL: "wss://cloud"},
		Identity: uplink.Identity{GatewayID: "a.b", Credential: uplinktest.Token(nil)}}); err == nil {
		t.Error("took a gateway id with a dot")
	}
}

func TestOffWithoutAddress(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { o.URL = "" }, func(w *testbed) {
		w.pass(time.Hour)
		if w.up.Status().State != uplink.Off || w.net.Dials() != 0 {
			t.Errorf("%+v", w.up.Status())
		}
	})
}

// A refused token: tries 5 min to 1 h apart, told once, and a new token is
// tried at once.
func TestWrongToken(t *testing.T) {
	var mine atomic.Value
	mine.Store("fg1_plant-7_" + canary + "bad")
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Credential = uplinktest.Token(func() (string, error) { return mine.Load().(string), nil })
	}, func(w *testbed) {
		w.says("uplink_auth", "refuses this gateway's credential", "401", `"plant-7"`)
		if s := w.up.Status().State; s != uplink.Refused {
			t.Errorf("state %s", s)
		}
		before := w.net.Dials()
		w.pass(24 * time.Hour)
		if n := w.net.Dials() - before; n < 23 || n > 24*12 {
			t.Errorf("%d tries in a day", n)
		}
		mine.Store(token)
		w.pass(11 * time.Second)
		if w.up.Status().State != uplink.Online || w.condition("uplink_auth") != "" {
			t.Errorf("%+v", w.up.Status())
		}
		if !strings.Contains(w.log.String(), "failed tries") {
			t.Errorf("recovery is not told:\n%s", w.log)
		}
	})
}

func TestNoCredentialYet(t *testing.T) {
	var enrolled atomic.Bool
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Credential = uplinktest.Token(func() (string, error) {
			if enrolled.Load() {
				return token, nil
			}
			return "", &fs.PathError{Op: "open", Path: "credential", Err: fs.ErrNotExist}
		})
	}, func(w *testbed) {
		w.says("uplink_no_credential", "no credential")
		w.pass(time.Hour)
		if w.net.Dials() != 0 || w.up.Status().State != uplink.NoCredential {
			t.Errorf("%d dials, %+v", w.net.Dials(), w.up.Status())
		}
		enrolled.Store(true)
		w.pass(11 * time.Second)
		w.online()
	})
}

func TestCredentialThatIsNone(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Credential = uplinktest.Token(func() (string, error) { return "two lines\n" + token, nil })
	}, func(w *testbed) {
		w.says("uplink_no_credential", "not a token")
		if w.net.Dials() != 0 {
			t.Error("dialled")
		}
	})
}

func TestWrongCertificate(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		other, err := uplinktest.NewCA()
		if err != nil {
			t.Fatal(err)
		}
		o.Authorities = func() (*x509.CertPool, error) { return other.Pool, nil }
	}, func(w *testbed) {
		w.says("uplink_certificate", "unknown authority", "[uplink] ca")
	})
}

func TestCertificateForAnotherName(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.URL = "wss://other.test/v1/gateway"
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return w.net.Dial(ctx, network, address)
		}
	}, func(w *testbed) {
		w.says("uplink_certificate", "another name", "other.test")
	})
}

// The bubble's clock says 2000; the certificate is of 1999 to 2003.
func TestClockFloor(t *testing.T) {
	boot := func(years int) func(w *testbed, o *uplink.Options) {
		return func(w *testbed, o *uplink.Options) {
			o.Floor = func() time.Time { return time.Now().AddDate(years, 0, 0) }
		}
	}
	t.Run("below the clock", func(t *testing.T) { inTestbed(t, boot(-30), (*testbed).online) })
	t.Run("inside", func(t *testing.T) { inTestbed(t, boot(2), (*testbed).online) })
	t.Run("behind the end", func(t *testing.T) {
		inTestbed(t, boot(20), func(w *testbed) { w.says("uplink_certificate", "ended on 2003-01-01", "2020-01-01", "clock") })
	})
}

// A board that boots before the certificate began connects once the floor,
// what the cloud told last, is later.
func TestBootInThePast(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, floored := range []bool{false, true} {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.certBegin = begin
			if floored {
				o.Floor = func() time.Time { return begin.AddDate(0, 6, 0) }
			}
		}, func(w *testbed) {
			if floored {
				w.online()
				return
			}
			w.says("uplink_clock", "clock says 2000-01-01", "begins on 2026-01-01")
		})
	}
}

func TestCloudTimeIsPassedOn(t *testing.T) {
	var told atomic.Int64
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.CloudTime = func(at time.Time) { told.Store(at.UnixMicro()) }
	}, func(w *testbed) {
		w.online()
		w.pass(time.Hour)
		if behind := time.Now().UnixMicro() - told.Load(); behind < 0 || behind > 60e6 {
			t.Errorf("told %d µs ago", behind)
		}
		// The board booted with the bubble, so its offset is the bubble's begin.
		if c := w.up.Status().Clock; c == nil || c.Offset != time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() || c.Error > 10_000 {
			t.Errorf("clock %+v", c)
		}
	})
}

// Servers that accept and then say nothing, at each of the three doors.
func TestSilentServer(t *testing.T) {
	swallow := func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}
	t.Run("TLS", func(t *testing.T) {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			l := w.net.Listen("mute.test:443")
			go swallow(l)
			o.Dial = func(ctx context.Context, n, _ string) (net.Conn, error) { return w.net.Dial(ctx, n, "mute.test:443") }
			w.closers = append(w.closers, l)
		}, func(w *testbed) { w.says("uplink_silent", "says nothing", "15s", "TLS") })
	})
	t.Run("upgrade", func(t *testing.T) {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.cloud.OnUpgrade = func(_ http.ResponseWriter, r *http.Request) bool {
				<-r.Context().Done()
				return true
			}
		}, func(w *testbed) { w.says("uplink_silent", "says nothing", "10s", "upgrade") })
	})
	t.Run("welcome", func(t *testing.T) {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.cloud.OnHello = func(*uplinktest.Peer, *wire.Hello) bool { return true }
		}, func(w *testbed) { w.says("uplink_silent", "says nothing", "10s", "welcome") })
	})
}

func TestForeignServers(t *testing.T) {
	upgrade := func(u websocket.Upgrader, then func(*websocket.Conn)) func(http.ResponseWriter, *http.Request) bool {
		return func(a http.ResponseWriter, r *http.Request) bool {
			if ws, err := u.Upgrade(a, r, nil); err == nil {
				then(ws)
				ws.Close()
			}
			return true
		}
	}
	ours := websocket.Upgrader{Subprotocols: []string{wire.SubprotocolCBOR}}
	wait := func(ws *websocket.Conn) { _, _, _ = ws.ReadMessage() }
	say := func(kind int, text string) func(*websocket.Conn) {
		return func(ws *websocket.Conn) {
			_ = ws.WriteMessage(kind, []byte(text))
			wait(ws)
			wait(ws)
		}
	}
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) bool
		words  string
	}{
		"a web server":         {func(a http.ResponseWriter, r *http.Request) bool { http.NotFound(a, r); return true }, "HTTP 404"},
		"a redirect":           {func(a http.ResponseWriter, r *http.Request) bool { http.Redirect(a, r, "/", 302); return true }, "HTTP 302"},
		"no subprotocol":       {upgrade(websocket.Upgrader{}, wait), "chose none of"},
		"text frames":          {upgrade(ours, say(websocket.TextMessage, `{"type":"welcome"}`)), "wrong kind of frames"},
		"something else":       {upgrade(ours, say(websocket.BinaryMessage, "hello")), "breaks the protocol"},
		"pong for a welcome":   {upgrade(ours, say(websocket.BinaryMessage, "\xa4\x00\x0d\x0a\x01\x0b\x01\x0c\x01")), "answers hello with"},
		"a huge first message": {upgrade(ours, say(websocket.BinaryMessage, strings.Repeat("x", 300<<10))), "read limit"},
	} {
		t.Run(name, func(t *testing.T) {
			inTestbed(t, func(w *testbed, o *uplink.Options) { w.cloud.OnUpgrade = c.answer }, func(w *testbed) {
				w.until(time.Minute, "in trouble", func() bool { return w.up.Status().LastError != "" })
				if s := w.up.Status(); !strings.Contains(s.LastError, c.words) || s.State == uplink.Online {
					t.Errorf("%s: %q", s.State, s.LastError)
				}
			})
		})
	}
}

// What a cloud may not say, for then nothing it says can be believed.
func TestImpossibleWelcome(t *testing.T) {
	for name, change := range map[string]func(*wire.Welcome){
		"leaves out an epoch":        func(m *wire.Welcome) { m.Epochs = nil },
		"claims what was never sent": func(m *wire.Welcome) { m.Epochs[0].Upto = 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			inTestbed(t, func(w *testbed, o *uplink.Options) {
				w.cloud.OnHello = func(p *uplinktest.Peer, m *wire.Hello) bool {
					answer := &wire.Welcome{Session: "s", Level: wire.LevelFsynced, Epochs: []wire.EpochAck{{Epoch: m.Epochs[0].Epoch}}}
					change(answer)
					p.Send(answer)
					return true
				}
			}, func(w *testbed) {
				w.says("uplink_foreign", "breaks the protocol")
				if e := w.store.All()[0]; e.Acked != 0 {
					t.Errorf("acked %d", e.Acked)
				}
			})
		})
	}
}

func TestNetworkTroubles(t *testing.T) {
	fail := func(err error) func(*testbed, *uplink.Options) {
		return func(w *testbed, o *uplink.Options) {
			o.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
			}
		}
	}
	for words, err := range map[string]error{
		"does not resolve":        &net.DNSError{Err: "no such host", Name: "cloud.test", IsNotFound: true},
		"refuses the connection":  syscall.ECONNREFUSED,
		"network is unreachable":  syscall.ENETUNREACH,
		"credential is *** today": errors.New("credential is " + token + " today"),
	} {
		inTestbed(t, fail(err), func(w *testbed) { w.says("uplink_unreachable", words) })
	}
	inTestbed(t, func(w *testbed, o *uplink.Options) { w.net.Hang(true) }, func(w *testbed) {
		w.says("uplink_unreachable", "does not answer", "15s")
	})
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		plain := w.net.Listen("plain.test:443")
		w.closers = append(w.closers, plain)
		go func() {
			for c, err := plain.Accept(); err == nil; c, err = plain.Accept() {
				_, _ = c.Read(make([]byte, 1))
				_, _ = c.Write([]byte("HTTP/1.0 400 Bad Request\r\n\r\n"))
				c.Close()
			}
		}()
		o.Dial = func(ctx context.Context, n, _ string) (net.Conn, error) { return w.net.Dial(ctx, n, "plain.test:443") }
	}, func(w *testbed) { w.says("uplink_foreign", "does not speak TLS") })
}

// A peer that vanished without a word: three silent periods of 30 s, and a
// little for the pings in between.
func TestHalfOpenPeer(t *testing.T) {
	inTestbed(t, nil, func(w *testbed) {
		w.online()
		w.pass(10 * time.Minute)
		w.net.Stall()
		before := time.Now()
		w.until(3*time.Minute, "back", func() bool { return len(w.cloud.Hellos()) == 2 })
		if took := time.Since(before); took < time.Minute || took > 2*time.Minute {
			t.Errorf("found after %v", took)
		}
		if told := w.up.Status().LastError; !strings.Contains(told, "went dead") {
			t.Errorf("told %q", told)
		}
	})
}

func TestPingsKeepAnIdleSession(t *testing.T) {
	var pings atomic.Int32
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.HB = wire.Heartbeat{PingS: 60, Miss: 1}
		w.cloud.OnPing = func(*uplinktest.Peer, *wire.Ping) bool { pings.Add(1); return false }
	}, func(w *testbed) {
		w.pass(24 * time.Hour)
		if n := pings.Load(); n < 4+24*60-2 || n > 4+24*60+1 {
			t.Errorf("%d pings in a day", n)
		}
		if len(w.cloud.Hellos()) != 1 {
			t.Errorf("%d sessions", len(w.cloud.Hellos()))
		}
		if s := w.log.String(); strings.Count(s, "\n") > 3 {
			t.Errorf("an idle day is no news:\n%s", s)
		}
	})
}

// The close codes: what is done after each, and that their reasons, which come
// from outside, do not carry the credential into a sentence.
func TestCloseCodes(t *testing.T) {
	for _, c := range []struct {
		code      int
		reason    string
		condition string
		from, to  time.Duration
	}{
		{1011, "oops " + token, "uplink_closed", 0, time.Second},
		{1013, `{"after":30}`, "uplink_closed", 30 * time.Second, 31 * time.Second},
		{wire.CloseTooMuch, `{"after":7200}`, "uplink_closed", time.Hour, time.Hour + time.Second},
		{wire.CloseUnauthorised, "no", "uplink_auth", 5 * time.Minute, time.Hour},
		{wire.CloseForbidden, canary, "uplink_auth", 5 * time.Minute, time.Hour},
		{wire.CloseSuperseded, "", "uplink_closed", 30 * time.Second, time.Minute},
		{wire.CloseConflict, "", "uplink_alarm", 5 * time.Minute, time.Hour},
		{wire.CloseVersion, "", "uplink_alarm", time.Minute, time.Minute + time.Second},
		{1008, "", "uplink_closed", time.Minute, time.Minute + time.Second},
	} {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.cloud.OnHello = func(p *uplinktest.Peer, _ *wire.Hello) bool {
				p.Close(c.code, c.reason)
				return true
			}
		}, func(w *testbed) {
			// In small steps: a pause may be short, and the one behind it is longer.
			for end := time.Now().Add(time.Minute); w.condition(c.condition) == "" && time.Now().Before(end); {
				w.pass(time.Millisecond)
			}
			if w.condition(c.condition) == "" {
				t.Fatalf("%d: not told", c.code)
			}
			if wait := time.Until(w.up.Status().NextTry); wait < c.from-200*time.Millisecond || wait > c.to {
				t.Errorf("%d: waits %v, want %v to %v", c.code, wait, c.from, c.to)
			}
		})
	}
}

func TestTooBigHalvesMessages(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(8000)
		w.store.Append(8000)
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			if len(m.Blocks[0]) > 5000 {
				p.Close(1009, "")
				return true
			}
			return false
		}
	}, func(w *testbed) {
		w.until(time.Hour, "all there", func() bool { return w.cloud.Held(w.growing()).Upto == 16000 })
		w.contiguous(w.store.All()[0], w.cloud.Held(w.growing()))
	})
}

// The pauses between tries are full jitter under a limit that doubles.
func TestBackOffBounds(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { o.Dial = refuseAll(w) }, func(w *testbed) {
		w.pass(6 * time.Hour)
		at := w.dialled
		limit, sum := time.Second, 0.0
		for i := 1; i < len(at); i++ {
			limit = min(2*limit, 5*time.Minute)
			pause := at[i].Sub(at[i-1])
			if pause > limit {
				t.Errorf("pause %d is %v, above %v", i, pause, limit)
			}
			if i > 10 {
				sum += pause.Seconds()
			}
		}
		// 6 h in uniform pauses of 0 to 5 min are about 144 tries; the mean of
		// 130 such pauses lies within 5 standard errors of 150 s.
		if mean := sum / float64(len(at)-11); len(at) < 80 || mean < 110 || mean > 190 {
			t.Errorf("%d tries, mean pause %v s", len(at), mean)
		}
	})
}

func refuseAll(w *testbed) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		w.dialled = append(w.dialled, time.Now())
		return nil, syscall.ECONNREFUSED
	}
}

func TestRetryAfter(t *testing.T) {
	for header, least := range map[string]time.Duration{
		"120":                           2 * time.Minute,
		"Sat, 01 Jan 2000 00:10:00 GMT": 9 * time.Minute,
		"99999999":                      time.Hour,
		"soon":                          0,
		"-5":                            0,
	} {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.cloud.OnUpgrade = func(a http.ResponseWriter, _ *http.Request) bool {
				a.Header().Set("Retry-After", header)
				a.WriteHeader(http.StatusTooManyRequests)
				return true
			}
		}, func(w *testbed) {
			w.until(time.Minute, "refused", func() bool { return w.up.Status().LastError != "" })
			if wait := time.Until(w.up.Status().NextTry); wait < least-time.Second || wait > least+time.Minute+time.Second {
				t.Errorf("Retry-After %s: waits %v", header, wait)
			}
		})
	}
}

// Sessions that break before they have proved anything do not reset the
// back-off: a cloud that welcomes and then fails is not hammered.
func TestUnprovenSessionsKeepTheBackOff(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(5)
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			p.Send(w.cloud.Take(m))
			p.Close(1011, "")
			return true
		}
	}, func(w *testbed) {
		for range 600 {
			w.store.Append(1)
			w.pass(10 * time.Second)
		}
		if n := len(w.cloud.Hellos()); n < 10 || n > 80 {
			t.Errorf("%d sessions in 100 minutes, want about 45", n)
		}
	})
}

// A proven session resets the back-off; after its loss everybody comes back
// within the spread that the server chose.
func TestSpreadAfterALoss(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { w.cloud.Welcome.SpreadS = 600 }, func(w *testbed) {
		var longest time.Duration
		for range 30 {
			w.until(11*time.Minute, "online", func() bool { return w.up.Status().State == uplink.Online })
			w.store.Append(1)
			w.pass(2 * time.Minute) // proven
			w.net.Cut()
			w.pass(0)
			longest = max(longest, time.Until(w.up.Status().NextTry))
		}
		// 30 draws from 0 to 600 s all stay under 300 s once in 10^9 runs.
		if longest < 300*time.Second || longest > 600*time.Second {
			t.Errorf("longest pause %v", longest)
		}
	})
}

// The back-off does not come on top of the spread: who drew the end of it
// would be back behind it.
func TestSpreadIsNotExceeded(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { w.cloud.Welcome.SpreadS = 1 }, func(w *testbed) {
		for range 30 { // both are draws from 0 to 1 s: of 30 sums half are longer
			w.until(time.Minute, "online", func() bool { return w.up.Status().State == uplink.Online })
			w.store.Append(1)
			w.pass(2 * time.Minute) // proven
			w.net.Cut()
			w.pass(0)
			if wait := time.Until(w.up.Status().NextTry); wait > time.Second {
				t.Fatalf("a pause of %v", wait)
			}
		}
	})
}

// A gateway that finds nobody comes again at a random time within what is left
// of the spread: those of a fleet that came while the cloud started shall not
// come together right after it.
func TestSpreadIsDrawnAgain(t *testing.T) {
	for _, drained := range []bool{false, true} {
		inTestbed(t, func(w *testbed, o *uplink.Options) { w.cloud.Welcome.SpreadS = 600 }, func(w *testbed) {
			var longest time.Duration
			for range 30 {
				w.until(11*time.Minute, "online", func() bool { return w.up.Status().State == uplink.Online })
				w.store.Append(1)
				w.pass(2 * time.Minute) // proven
				began, dials := time.Now(), w.net.Dials()
				w.net.Refuse(address, true)
				if drained {
					w.cloud.SendAll(&wire.Drain{AfterMS: 1000})
				} else {
					w.net.Cut()
				}
				w.pass(0)
				w.until(11*time.Minute, "refused", func() bool { return w.net.Dials() > dials })
				first := time.Since(began)
				w.pass(0)
				again := time.Until(w.up.Status().NextTry)
				if longest = max(longest, again); first+again > 601*time.Second {
					t.Errorf("drained %v: after %v again in %v", drained, first, again)
				}
				w.net.Refuse(address, false)
			}
			if longest < 60*time.Second { // of 30 draws
				t.Errorf("drained %v: the longest second pause was %v", drained, longest)
			}
		})
	}
}

func TestLevelAndTermsReachTheStore(t *testing.T) {
	terms := &termSource{}
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.Level, w.cloud.Welcome.RetainS = wire.LevelReceived, 900
		terms.Store = w.store
		o.Source = terms
	}, func(w *testbed) {
		w.online()
		if terms.fsynced.Load() || terms.retain.Load() != int64(15*time.Minute) {
			t.Errorf("fsynced %v, retain %v", terms.fsynced.Load(), time.Duration(terms.retain.Load()))
		}
	})
}

type termSource struct {
	*uplinktest.Store
	fsynced atomic.Bool
	retain  atomic.Int64
}

func (s *termSource) Session(fsynced bool, retain time.Duration) {
	s.fsynced.Store(fsynced)
	s.retain.Store(int64(retain))
}

// A store that fails for one epoch: the others go on, it is told, and it ends.
func TestStoreThatCannotGive(t *testing.T) {
	bad := &brokenSource{}
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(5)
		bad.Store, bad.epoch = w.store, w.growing()
		bad.broken.Store(true)
		w.store.Reopen(true)
		o.Source = bad
		w.store.Append(5)
	}, func(w *testbed) {
		w.until(10*time.Second, "live", func() bool { return w.cloud.Held(w.growing()).Upto == 5 })
		w.until(time.Second, "told", func() bool { return strings.Contains(w.condition("uplink_held"), "card is gone") })
		bad.broken.Store(false)
		w.complete(time.Minute)
		if w.condition("uplink_held") != "" {
			t.Error("the condition stays")
		}
	})
}

type brokenSource struct {
	*uplinktest.Store
	epoch  gateway.EpochID
	broken atomic.Bool
}

func (s *brokenSource) Next(ctx context.Context, e gateway.EpochID, seq uint64, n int) (gateway.Block, error) {
	if e == s.epoch && s.broken.Load() {
		return gateway.Block{}, errors.New("the card is gone")
	}
	return s.Store.Next(ctx, e, seq, n)
}
