package cloud

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// lost gives an update that takes little to make: a gap of n readings.
func lost(lane wire.Lane, e gateway.EpochID, first, n uint64) *wire.Update {
	return &wire.Update{Lane: lane, Epoch: e, First: first, N: n, Gap: &wire.Gap{Why: gateway.WhyUnknown}}
}

// welcomed opens a session on l.
func welcomed(t *testing.T, l record.Log, epochs ...wire.HelloEpoch) (*websocket.Conn, *wire.Welcome, *Server) {
	t.Helper()
	conn, s := connect(t, l)
	say(t, conn, &wire.Hello{GatewayID: "g", Epochs: epochs})
	return conn, hear[*wire.Welcome](t, conn), s
}

// stuck makes appends to l wait until release is called.
func stuck(l *cloudtest.Log) (release func()) {
	gate := make(chan struct{})
	l.Mu.Lock()
	defer l.Mu.Unlock()
	l.Fault = func() (bool, error) {
		l.Mu.Unlock()
		<-gate
		l.Mu.Lock()
		return true, nil
	}
	return func() { close(gate) }
}

func TestWindowExceeded(t *testing.T) {
	e := gateway.NewEpochID()
	event := func(seq uint64) wire.Message {
		return &wire.Event{Epoch: e, Seq: seq, Kind: gateway.EventAlarm, Body: []byte(`"` + strings.Repeat("x", 10<<10) + `"`)}
	}
	for name, c := range map[string]struct {
		send func(i uint64) wire.Message
		fits int // messages, twice the window
	}{
		"live messages":    {func(i uint64) wire.Message { return lost(wire.LaneLive, e, i, 1) }, 2 * wire.DefaultWindows.Live.Msgs},
		"backlog messages": {func(i uint64) wire.Message { return lost(wire.LaneBacklog, e, i, 1) }, 2 * wire.DefaultWindows.Back.Msgs},
		"bytes of events":  {event, 2 * wire.DefaultWindows.Ev.Bytes / (10<<10 + 60)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &cloudtest.Log{}
				conn, _, _ := welcomed(t, l)
				release := stuck(l)
				for i := range c.fits {
					say(t, conn, c.send(uint64(i)+1))
				}
				synctest.Wait()
				say(t, conn, &wire.Ping{})
				hear[*wire.Pong](t, conn) // so much is allowed
				say(t, conn, c.send(uint64(c.fits)+1))
				synctest.Wait()
				release()
				_, _, err := conn.ReadMessage()
				if err == nil { // what was under way is stored and acknowledged
					_, _, err = conn.ReadMessage()
				}
				if !websocket.IsCloseError(err, wire.CloseTooMuch) {
					t.Errorf("after %d messages: %v", c.fits+1, err)
				}
				if len(l.Records) != 2 {
					t.Errorf("%d records, want the open record and what was under way", len(l.Records))
				}
			})
		})
	}
}

// TestAcksAreJoined fills a window while the log is stuck: what was stored
// meanwhile is acknowledged together, half a window at a time.
func TestAcksAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		conn, _, _ := welcomed(t, l)
		release := stuck(l)
		a, b := gateway.NewEpochID(), gateway.NewEpochID()
		for i := range uint64(3) {
			say(t, conn, lost(wire.LaneLive, a, i+1, 1))
		}
		say(t, conn, lost(wire.LaneBacklog, b, 1, 5))
		say(t, conn, &wire.Event{Epoch: a, Seq: 4, Kind: gateway.EventBoot})
		say(t, conn, lost(wire.LaneLive, a, 4, 1)) // half of the live window
		say(t, conn, lost(wire.LaneLive, a, 5, 1))
		synctest.Wait()
		release()
		first := hear[*wire.Ack](t, conn)
		if len(first.Epochs) != 2 || first.Epochs[0] != (wire.EpochAck{Epoch: a, Upto: 4}) ||
			first.Epochs[1] != (wire.EpochAck{Epoch: b, Upto: 5}) {
			t.Errorf("first ack %+v", first)
		}
		if first.Events == nil || *first.Events != (wire.EventAck{Epoch: a, Upto: 4}) || first.Win != nil {
			t.Errorf("first ack %+v", first)
		}
		second := hear[*wire.Ack](t, conn)
		if len(second.Epochs) != 1 || second.Epochs[0].Upto != 5 || second.Events != nil {
			t.Errorf("second ack %+v", second)
		}
		for i, r := range l.Records[1:] { // in the order of arrival
			if want := []uint64{1, 2, 3, 1, 4, 4, 5}[i]; r.First != want {
				t.Errorf("record %d is %+v", i, r)
			}
		}
	})
}

// TestNackComesBehindAcks: what came before the refused update is
// acknowledged first, what was sent behind it is refused too.
func TestNackComesBehindAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		conn, _, _ := welcomed(t, l)
		release := stuck(l)
		e := gateway.NewEpochID()
		for _, first := range []uint64{1, 3, 4} {
			say(t, conn, lost(wire.LaneLive, e, first, 1))
		}
		synctest.Wait()
		release()
		if a := hear[*wire.Ack](t, conn); a.Epochs[0].Upto != 1 {
			t.Errorf("ack %+v", a)
		}
		for _, first := range []uint64{3, 4} {
			if n := hear[*wire.Nack](t, conn); n.First != first || n.Expected != 2 {
				t.Errorf("nack %+v", n)
			}
		}
		say(t, conn, lost(wire.LaneLive, e, 2, 3))
		if a := hear[*wire.Ack](t, conn); a.Epochs[0].Upto != 4 {
			t.Errorf("ack %+v", a)
		}
	})
}

// TestWindowMovesOn sends a full window again and again: nothing of it may be
// counted as unanswered for ever.
func TestWindowMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, w, _ := welcomed(t, &cloudtest.Log{})
		if *w.Win != wire.DefaultWindows {
			t.Errorf("welcomed with windows %+v", w.Win)
		}
		e, upto := gateway.NewEpochID(), uint64(0)
		for range 20 {
			for i := range uint64(wire.DefaultWindows.Live.Msgs) {
				say(t, conn, lost(wire.LaneLive, e, upto+i+1, 1))
				say(t, conn, lost(wire.LaneLive, e, upto+i+90, 1)) // refused
				hear[*wire.Ack](t, conn)
				hear[*wire.Nack](t, conn)
			}
			upto += uint64(wire.DefaultWindows.Live.Msgs)
		}
	})
}

// TestLogInTrouble: no windows while the log takes nothing, the usual ones
// afterwards, and nothing is lost or doubted between.
func TestLogInTrouble(t *testing.T) {
	for _, failure := range []error{record.ErrFull, record.ErrUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			l := &cloudtest.Log{}
			conn, _, s := welcomed(t, l)
			e := gateway.NewEpochID()
			l.Fault = times(3, false, failure)
			say(t, conn, lost(wire.LaneLive, e, 1, 2))
			a := hear[*wire.Ack](t, conn)
			if a.Win == nil || *a.Win != (wire.Windows{}) || a.Why != "storage" || len(a.Epochs) != 0 {
				t.Errorf("told of %v with %+v", failure, a)
			}
			if s.storage.err() == nil {
				t.Error("the server looks ready")
			}
			a = hear[*wire.Ack](t, conn)
			if a.Win == nil || *a.Win != wire.DefaultWindows || a.Why != "" {
				t.Errorf("told of the end of %v with %+v", failure, a)
			}
			if a = hear[*wire.Ack](t, conn); a.Epochs[0].Upto != 2 || len(l.Records) != 2 {
				t.Errorf("ack %+v, %d records", a, len(l.Records))
			}
			if err := s.storage.err(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTroubleEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		conn, _, s := welcomed(t, l)
		l.Fault = times(1<<30, false, record.ErrFull)
		say(t, conn, lost(wire.LaneLive, gateway.NewEpochID(), 1, 2))
		hear[*wire.Ack](t, conn)
		conn.Close()
		time.Sleep(2 * maxRetry)
		synctest.Wait()
		if err := s.storage.err(); err != nil {
			t.Errorf("a server without sessions: %v", err)
		}
	})
}

// TestSlowLog: the backlog's window shrinks first, then that of live; both are
// wide again when the log is quick.
func TestSlowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{}
		conn, _, _ := welcomed(t, l)
		slow := func(d time.Duration) func() (bool, error) {
			return func() (bool, error) { time.Sleep(d); return true, nil }
		}
		e, seq := gateway.NewEpochID(), uint64(0)
		var told []wire.Windows
		send := func() {
			seq++
			say(t, conn, lost(wire.LaneLive, e, seq, 1))
			for upto := uint64(0); upto < seq; {
				a := hear[*wire.Ack](t, conn)
				if a.Win != nil {
					told = append(told, *a.Win)
				}
				for _, one := range a.Epochs {
					upto = one.Upto
				}
			}
		}
		for range 3 {
			l.Fault = slow(slowAfter + time.Millisecond)
			send()
		}
		for range quickAgain {
			l.Fault = slow(slowAfter)
			send()
		}
		back, both := wire.DefaultWindows, wire.DefaultWindows
		back.Back.Msgs, both.Back.Msgs, both.Live.Msgs = 1, 1, 1
		want := []wire.Windows{back, both, wire.DefaultWindows}
		if len(told) != 3 || told[0] != want[0] || told[1] != want[1] || told[2] != want[2] {
			t.Errorf("told windows %+v, want %+v", told, want)
		}
	})
}
