package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
)

func TestOrderOfFirstMessages(t *testing.T) {
	for _, path := range []string{"/ws", "/", ""} {
		t.Run("path "+path, func(t *testing.T) {
			o, _ := options()
			_, addr := start(t, o)
			publish(o.Hub, 1000, 60)
			publish(o.Hub, 1001, 61.5)
			conn := dial(t, "ws://"+addr+path)
			if conn.Subprotocol() != "" {
				t.Errorf("subprotocol %q was chosen, none was offered", conn.Subprotocol())
			}
			first := read(t, conn)
			if first["type"] != "status" || first["gateway_id"] != "plant-7" || first["clock"].(map[string]any)["quality"] != "ntp" {
				t.Errorf("first message is %v, want the status", first)
			}
			want := map[string]any{
				"type": "update", "device_id": "boiler", "quantity": "temperature", "value": 61.5, "unit": "Cel",
				"timestamp": "2026-11-23T06:00:00.123Z", "quality": "good", "time": "ntp",
				"epoch": "9f000000000000000000000000000000", "seq": 1001.0,
			}
			if got := read(t, conn); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("second message is\n%v, want\n%v", got, want)
			}
			publish(o.Hub, 1002, 62)
			if got := next(t, conn, "update"); got["seq"] != 1002.0 {
				t.Errorf("then comes %v, want seq 1002", got)
			}
		})
	}
}

func TestOfferedSubprotocolIsChosen(t *testing.T) {
	o, _ := options()
	_, addr := start(t, o)
	d := websocket.Dialer{Subprotocols: []string{"something.else", "fieldgate.dash.v1.json"}}
	conn, _, err := d.Dial("ws://"+addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.Subprotocol(); got != "fieldgate.dash.v1.json" {
		t.Errorf("subprotocol is %q", got)
	}
}

func TestValuesThatJSONCannotHold(t *testing.T) {
	o, _ := options()
	_, addr := start(t, o)
	conn := dial(t, "ws://"+addr+"/ws")
	read(t, conn) // status: from here on it is subscribed
	rs := []gateway.Reading{
		{Channel: boiler, Value: math.NaN()},
		{Channel: boiler, Value: math.Inf(1), Quality: gateway.OutOfRange},
		{Channel: boiler, Value: 1e300},
	}
	o.Hub.Publish(gateway.Name{Seq: 1}, rs)
	for _, want := range []string{"<nil> suspect", "<nil> out_of_range", "1e+300 good"} {
		m := next(t, conn, "update")
		if got := fmt.Sprint(m["value"], " ", m["quality"]); strings.Join(strings.Fields(got), " ") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMessagesOfClientsAreAnswered(t *testing.T) {
	cases := []struct{ say, code, ref string }{
		{`{"type":`, "malformed", ""},
		{``, "malformed", ""},
		{`[1,2]`, "malformed", ""},
		{`null`, "malformed", ""},
		{`{"device_id":7,"value":1}`, "malformed", ""},
		{`{"id":"x"}`, "malformed", "x"},
		{`{"type":"dance","id":"d-1"}`, "unknown_type", "d-1"},
		{`{"type":"hello","device_id":"a","value":1}`, "unknown_type", ""},
		{`{"type":"command","id":"c-17","device_id":"pump","action":"set","value":1,"ttl_ms":5000}`, "command_not_served", "c-17"},
		{`{"type":"ack","id":"c-17","state":"done"}`, "ack_not_served", "c-17"},
		{`{"type":"status"}`, "status_not_served", ""},
		{`{"type":"update"}`, "update_not_served", ""},
		{`{"device_id":"a","value":1}`, "update_not_served", ""},
		{`{"device_id":"sensor-001","type":"temperature_update","value":23.5,"timestamp":"2025-05-29T12:45:00Z"}`, "update_not_served", ""},
		{`{"type":"dance","id":"` + strings.Repeat("x", 65) + `"}`, "unknown_type", ""},
	}
	o, _ := options()
	_, addr := start(t, o)
	conn := dial(t, "ws://"+addr+"/ws")
	for _, c := range cases {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(c.say)); err != nil {
			t.Fatal(err)
		}
		m := next(t, conn, "error")
		ref, _ := m["ref"].(string)
		if m["code"] != c.code || ref != c.ref || m["message"] == "" {
			t.Errorf("%s: got %v, want code %s, ref %q and a sentence", c.say, m, c.code, c.ref)
		}
	}
	publish(o.Hub, 1, 1)
	next(t, conn, "update")
}

func TestMessagesThatEndTheSocket(t *testing.T) {
	cases := map[string]struct {
		kind  int
		bytes int
		code  int
	}{
		"binary":    {websocket.BinaryMessage, 3, websocket.CloseUnsupportedData},
		"too large": {websocket.TextMessage, maxInbound + 1, websocket.CloseMessageTooBig},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o, _ := options()
			_, addr := start(t, o)
			conn := dial(t, "ws://"+addr+"/ws")
			if err := conn.WriteMessage(c.kind, make([]byte, c.bytes)); err != nil {
				t.Fatal(err)
			}
			if got := closeCode(conn); got != c.code {
				t.Errorf("closed with %d, want %d", got, c.code)
			}
		})
	}
}

// closeCode reads to the end and gives the close code; 0 if there was none.
func closeCode(conn *websocket.Conn) int {
	for {
		_, _, err := conn.ReadMessage()
		var ce *websocket.CloseError
		if errors.As(err, &ce) {
			return ce.Code
		}
		if err != nil {
			return 0
		}
	}
}

func (s *Server) clientCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}

func TestServerThatEndsSaysGoodbye(t *testing.T) {
	o, _ := options()
	s := New(o)
	stop := serve(t, s)
	conn := dial(t, "ws://"+s.Addr()+"/ws")
	read(t, conn)
	stop()
	if got := closeCode(conn); got != websocket.CloseGoingAway {
		t.Errorf("closed with %d, want 1001", got)
	}
	if s.clientCount() != 0 {
		t.Error("a client is still counted after Run has returned")
	}
}

// inVirtualTime runs f with a server whose connections go through memory.
func inVirtualTime(t *testing.T, o Options, f func(*Server, *pipeListener)) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newServer(o), newPipeListener()
		s.listener = l
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		f(s, l)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestStatusPace(t *testing.T) {
	o, _ := options()
	var offline, stored atomic.Int64
	o.Status = func() Status {
		st := Status{Uplink: Uplink{State: UplinkOnline}, Uptime: float64(stored.Add(1)), Store: Store{Stored: uint64(stored.Load())}}
		if offline.Load() != 0 {
			st.Uplink.State = UplinkWaiting
		}
		return st
	}
	inVirtualTime(t, o, func(_ *Server, l *pipeListener) {
		conn := l.dial(t)
		defer conn.Close()
		read(t, conn) // the newcomer's
		read(t, conn) // the first of the stream
		begin := time.Now()
		read(t, conn)
		if got := time.Since(begin); got != 2*time.Second {
			t.Errorf("a status without news came after %v, want 2s", got)
		}
		begin = time.Now()
		offline.Store(1)
		if m := read(t, conn); m["uplink"].(map[string]any)["state"] != "waiting" || time.Since(begin) > time.Second {
			t.Errorf("after %v came %v, want the new state within a second", time.Since(begin), m["uplink"])
		}
	})
}

func TestClientThatNeverAnswersIsDropped(t *testing.T) {
	o, _ := options()
	inVirtualTime(t, o, func(s *Server, l *pipeListener) {
		conn := l.dial(t)
		defer conn.Close()
		conn.SetPingHandler(func(string) error { return nil }) // takes everything, says nothing
		begin := time.Now()
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				break
			}
		}
		synctest.Wait()
		if got := time.Since(begin); got != silence || s.clientCount() != 0 {
			t.Errorf("dropped after %v, %d clients left; want %v, 0", got, s.clientCount(), silence)
		}
	})
}

func TestClientThatAnswersPingsStays(t *testing.T) {
	o, _ := options()
	inVirtualTime(t, o, func(s *Server, l *pipeListener) {
		conn := l.dial(t)
		defer conn.Close()
		for begin := time.Now(); time.Since(begin) < time.Hour; {
			read(t, conn)
		}
		if s.clientCount() != 1 {
			t.Error("the client was dropped")
		}
	})
}

func TestStalledClientIsDropped(t *testing.T) {
	o, _ := options()
	inVirtualTime(t, o, func(s *Server, l *pipeListener) {
		stuck, other := l.dial(t), l.dial(t)
		defer stuck.Close()
		defer other.Close()
		begin := time.Now()
		for seq := uint64(1); seq <= 1000; seq++ {
			publish(o.Hub, seq, 1)
			for next(t, other, "update")["seq"] != float64(seq) {
			}
		}
		if time.Since(begin) != 0 {
			t.Errorf("the stuck client held the other up for %v", time.Since(begin))
		}
		time.Sleep(writeGrace + time.Millisecond) // virtual
		synctest.Wait()
		if s.clientCount() != 1 {
			t.Errorf("%d clients left, want 1", s.clientCount())
		}
	})
}

// A client on a thin line takes one message a second while ten come: it hears
// how many it missed, and is dropped with 4408 after half a minute of that.
func TestSlowClientIsToldOfLoss(t *testing.T) {
	o, _ := options()
	inVirtualTime(t, o, func(_ *Server, l *pipeListener) {
		conn := l.dial(t)
		defer conn.Close()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for seq := uint64(1); ; seq++ {
				select {
				case <-tick.C:
					publish(o.Hub, seq, 1)
				case <-stop:
					return
				}
			}
		}()
		code, missed := slowly(conn)
		if code != closeSlow || missed == 0 {
			t.Errorf("closed with %d after missing %v, want 4408 after some", code, missed)
		}
	})
}

// slowly reads ten messages a second to the end.
func slowly(conn *websocket.Conn) (code int, missed float64) {
	for {
		var m struct{ Lost float64 }
		err := conn.ReadJSON(&m)
		var ce *websocket.CloseError
		switch {
		case errors.As(err, &ce):
			return ce.Code, missed
		case err != nil:
			return 0, missed
		}
		missed += m.Lost
		time.Sleep(100 * time.Millisecond) // virtual
	}
}

func TestFloodFromAClientIsSlowedDown(t *testing.T) {
	o, _ := options()
	inVirtualTime(t, o, func(_ *Server, l *pipeListener) {
		conn := l.dial(t)
		defer conn.Close()
		conn.SetPingHandler(func(string) error { return nil }) // its pong would wait behind the flood
		go func() {
			for conn.WriteMessage(websocket.TextMessage, []byte(`{}`)) == nil {
			}
		}()
		begin, answers := time.Now(), 0
		for time.Since(begin) < 10*time.Second {
			next(t, conn, "error")
			answers++
		}
		if want := inboundTop + 10*inboundPS; answers > want+1 {
			t.Errorf("%d messages were answered in 10 s, want at most %d", answers, want)
		}
	})
}
