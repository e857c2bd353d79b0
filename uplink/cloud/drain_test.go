package cloud

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// closeCode reads until the connection ends.
func closeCode(t *testing.T, conn *websocket.Conn) (code int, reason string) {
	t.Helper()
	for {
		_, _, err := conn.ReadMessage()
		var ce *websocket.CloseError
		if errors.As(err, &ce) {
			return ce.Code, ce.Text
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func ready(s *Server) int {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	return w.Code
}

// TestDrain: a gateway that goes when it is asked to is waited for, with what
// it has under way; one that does not is closed.
func TestDrain(t *testing.T) {
	for _, goes := range []bool{true, false} {
		t.Run(fmt.Sprintf("goes=%v", goes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &cloudtest.Log{}
				conn, _, s := welcomed(t, l)
				release := stuck(l)
				e := gateway.NewEpochID()
				say(t, conn, lost(wire.LaneLive, e, 1, 1))
				say(t, conn, lost(wire.LaneLive, e, 2, 1))
				synctest.Wait()
				if ready(s) != 200 {
					t.Error("not ready while it serves")
				}
				began, done := time.Now(), make(chan time.Duration)
				go func() { s.drain(); s.Close(); done <- time.Since(began) }()
				if m := hear[*wire.Drain](t, conn); m.AfterMS < 0 || m.AfterMS >= 1000 || m.SpreadMS != 0 {
					t.Errorf("a fleet of one is asked to come back with %+v", m)
				}
				if ready(s) != 503 {
					t.Error("ready while it drains")
				}
				release()
				if a := hear[*wire.Ack](t, conn); a.Epochs[0].Upto != 2 {
					t.Errorf("ack %+v", a)
				}
				want := drainWithin
				if goes {
					want = 0
					bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "drained")
					_ = conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second))
				}
				if code, _ := closeCode(t, conn); code != 1012 && !goes || code != 1000 && goes {
					t.Errorf("closed with %d", code)
				}
				if took := <-done; took != want {
					t.Errorf("drained in %s, want %s", took, want)
				}
			})
		})
	}
}

// TestDrainOfALogInTrouble: a log that takes nothing does not hold up the end.
func TestDrainOfALogInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		conn, _, s := welcomed(t, l)
		l.Fault = times(1<<30, false, record.ErrFull)
		say(t, conn, lost(wire.LaneLive, gateway.NewEpochID(), 1, 1))
		hear[*wire.Ack](t, conn)
		began, done := time.Now(), make(chan time.Duration)
		go func() { s.drain(); s.Close(); done <- time.Since(began) }()
		if code, _ := closeCode(t, conn); code != 1012 {
			t.Errorf("closed with %d", code)
		}
		if took := <-done; took != drainWithin {
			t.Errorf("took %s", took)
		}
	})
}

func TestBye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		conn, _, _ := welcomed(t, l)
		release := stuck(l)
		e := gateway.NewEpochID()
		for i := range uint64(3) {
			say(t, conn, lost(wire.LaneLive, e, i+1, 1))
		}
		say(t, conn, &wire.Bye{Reason: "sleep", NextS: 3600})
		synctest.Wait()
		release()
		if a := hear[*wire.Ack](t, conn); a.Epochs[0].Upto != 3 {
			t.Errorf("ack %+v", a)
		}
		if code, _ := closeCode(t, conn); code != 1000 {
			t.Errorf("closed with %d", code)
		}
	})
}

func TestByeDuringTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		conn, _, _ := welcomed(t, l)
		l.Fault = times(1<<30, false, record.ErrFull)
		say(t, conn, lost(wire.LaneLive, gateway.NewEpochID(), 1, 1))
		say(t, conn, &wire.Bye{Reason: "reboot"})
		began := time.Now()
		if code, _ := closeCode(t, conn); code != 1000 || time.Since(began) != byeWithin {
			t.Errorf("closed with %d after %s", code, time.Since(began))
		}
	})
}

// TestInterrupted: after the log's connection broke nothing is acknowledged in
// the sessions of before, not even what was stored; opening anew tells.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		s, dial := piped(t, Options{Log: l})
		conn := dial()
		e := gateway.NewEpochID()
		hello := &wire.Hello{GatewayID: "g", Epochs: []wire.HelloEpoch{{Epoch: e, Oldest: 1}}}
		say(t, conn, hello)
		hear[*wire.Welcome](t, conn)
		release := stuck(l)
		say(t, conn, lost(wire.LaneLive, e, 1, 5))
		synctest.Wait()
		s.Interrupted(errors.New("another leader"))
		release()
		_, raw, err := conn.ReadMessage()
		if !websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
			t.Fatalf("got %x, %v", raw, err)
		}
		if after := wire.RetryHint(err.(*websocket.CloseError).Text); after != interruptFor*time.Second {
			t.Errorf("asked to come back after %s", after)
		}
		conn = dial()
		say(t, conn, hello)
		if w := hear[*wire.Welcome](t, conn); w.Epochs[0].Upto != 5 {
			t.Errorf("welcomed with %+v", w.Epochs)
		}
	})
}

// TestInterruptedWhileOpening: what a session read of the log before the
// interruption is worth nothing after it.
func TestInterruptedWhileOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		conn, s := connect(t, l)
		release := stuck(l)
		say(t, conn, &wire.Hello{GatewayID: "g"})
		synctest.Wait()
		s.Interrupted(errors.New("another leader"))
		release()
		if code, _ := closeCode(t, conn); code != websocket.CloseTryAgainLater {
			t.Errorf("closed with %d", code)
		}
	})
}
