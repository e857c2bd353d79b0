package uplink_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

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

func TestServersOfOtherProtocols(t *testing.T) {
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

func TestNetworkFaults(t *testing.T) {
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
