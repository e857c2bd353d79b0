package wire_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The example is short enough to be read before lunch.
func TestExampleIsShort(t *testing.T) {
	b, err := os.ReadFile("example_cloud.py")
	if n := strings.Count(string(b), "\n"); err != nil || n > 60 || n < 40 {
		t.Errorf("%d lines (%v)", n, err)
	}
}

// A caller is a scripted gateway.
type caller struct {
	*testing.T
	conn *websocket.Conn
}

func dialExample(t *testing.T, e *e2e.Example, token string, protocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ca, err := os.ReadFile(e.Path("cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca)
	d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: trusted}, Subprotocols: protocols, HandshakeTimeout: 10 * time.Second}
	return d.Dial("wss://"+e.Addr+"/v1/gateway", http.Header{"Authorization": {"Bearer " + token}})
}

// call opens a session as a gateway that offers both encodings.
func call(t *testing.T, e *e2e.Example, epochs ...wire.HelloEpoch) (*caller, *wire.Welcome) {
	t.Helper()
	conn, _, err := dialExample(t, e, e.Token, wire.SubprotocolCBOR, wire.SubprotocolJSON)
	if err != nil || conn.Subprotocol() != wire.SubprotocolJSON {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &caller{t, conn}
	return c, c.ask(&wire.Hello{GatewayID: "plant-7", BootID: gateway.BootID{1}, Epochs: epochs,
		Software: "test/1", All: true}).(*wire.Welcome)
}

func (c *caller) say(m wire.Message) {
	c.Helper()
	b, err := wire.JSON.Encode(m)
	if err != nil {
		c.Fatal(err)
	}
	if err := c.conn.WriteMessage(websocket.TextMessage, b); err != nil {
		c.Fatal(err)
	}
}

// ask says something and gives the answer.
func (c *caller) ask(m wire.Message) wire.Message {
	c.Helper()
	c.say(m)
	_ = c.conn.SetReadDeadline(time.Now().Add(e2e.Patience)) // a failure, not a hang
	_, b, err := c.conn.ReadMessage()
	if err != nil {
		c.Fatal(err)
	}
	answer, err := wire.JSON.Decode(b)
	if err != nil {
		c.Fatalf("%s: %v", b, err)
	}
	return answer
}

var (
	ea = gateway.EpochID{0xea, 15: 1}
	eb = gateway.EpochID{0xeb, 15: 2}
)

// rows makes an update whose values are their seqs.
func rows(e gateway.EpochID, first, n uint64) *wire.Update {
	u := &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: n}
	for i := range n {
		v := float64(first + i)
		u.Readings = append(u.Readings, wire.Row{
			Device: "boiler", Quantity: "temperature", Value: &v, Unit: "Cel",
			Timestamp: wire.Time(1_748_522_700_000_000 + 1000*i), Quality: "good", Time: "ntp",
		})
	}
	return u
}

func acked(e gateway.EpochID, upto uint64, done bool) *wire.Ack {
	return &wire.Ack{Epochs: []wire.EpochAck{{Epoch: e, Upto: upto, Done: done}}}
}

func TestExampleRefusesStrangers(t *testing.T) {
	e := e2e.NewExample(t, "example_cloud.py")
	e.Start(t)
	for what, c := range map[string]struct {
		token    string
		protocol string
		status   int
	}{
		"wrong token":    {"fg1_plant-7_" + strings.Repeat("00", 32), wire.SubprotocolJSON, 401},
		"no token":       {"", wire.SubprotocolJSON, 401},
		"CBOR alone":     {e.Token, wire.SubprotocolCBOR, 400},
		"no subprotocol": {e.Token, "", 400},
	} {
		protocols := []string{c.protocol}
		if c.protocol == "" {
			protocols = nil
		}
		_, res, err := dialExample(t, e, c.token, protocols...)
		if err == nil || res == nil || res.StatusCode != c.status {
			t.Errorf("%s: %v, %v", what, res, err)
		}
	}
	conn, _, err := dialExample(t, e, e.Token, wire.SubprotocolJSON)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &caller{t, conn}
	c.say(&wire.Hello{GatewayID: "plant-8"})
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, wire.CloseForbidden) {
		t.Errorf("another gateway's id: %v", err)
	}
}

// The rules of PROTOCOL.md, section 9, through kills of the example.
func TestExampleStoresEachReadingOnce(t *testing.T) {
	e := e2e.NewExample(t, "example_cloud.py")
	e.Start(t)
	held := []wire.HelloEpoch{{Epoch: ea, Oldest: 1, Last: 20}, {Epoch: eb, Oldest: 1}}
	c, w := call(t, e, held...)
	if w.Level != wire.LevelFsynced || !reflect.DeepEqual(w.Epochs, []wire.EpochAck{{Epoch: ea}, {Epoch: eb}}) ||
		!reflect.DeepEqual(w.Events, &wire.EventAck{}) {
		t.Errorf("welcome: %+v", w)
	}
	anchor := wire.Anchor{Boot: gateway.BootID{1}}
	gap := &wire.Update{Lane: wire.LaneBacklog, Epoch: ea, First: 5, N: 4, Gap: &wire.Gap{Why: gateway.WhyDropped, Anchor: anchor}}
	thinned := &wire.Update{Lane: wire.LaneBacklog, Epoch: ea, First: 7, N: 5, ThinnedRows: []wire.ThinnedRow{
		{Device: "boiler", Quantity: "temperature", Timestamp: 1_748_522_700_000_000, IntervalS: 60, Count: 5, Quality: "good", Time: "ntp"}}}
	open := &wire.Update{Lane: wire.LaneBacklog, Epoch: ea, First: 15,
		End: &wire.End{Why: gateway.WhyUncleanStop, AtMost: 10, Anchor: &anchor}}
	seven := uint64(17)
	closed := &wire.Update{Lane: wire.LaneBacklog, Epoch: ea, First: 18, End: &wire.End{Closed: &seven}}
	event := &wire.Event{Epoch: ea, Seq: 3, Kind: gateway.EventBoot, Anchor: anchor}
	steps := []struct {
		what string
		say  wire.Message
		hear wire.Message
	}{
		{"three readings", rows(ea, 1, 3), acked(ea, 3, false)},
		{"the same again", rows(ea, 1, 3), acked(ea, 3, false)},
		{"two of them and three more", rows(ea, 2, 5), acked(ea, 6, false)},
		{"a hole", rows(ea, 9, 2), &wire.Nack{Epoch: ea, First: 9, N: 2, Code: wire.NackSeq, Retry: true, Expected: 7}},
		{"another epoch", rows(eb, 1, 1), acked(eb, 1, false)},
		{"a gap that begins before", gap, acked(ea, 8, false)},
		{"thinned readings that begin before", thinned, acked(ea, 11, false)},
		{"these again", thinned, acked(ea, 11, false)},
		{"readings behind", rows(ea, 12, 3), acked(ea, 14, false)},
		{"an open end", open, acked(ea, 14, true)},
		{"the same end again", open, acked(ea, 14, true)},
		{"readings that come after all", rows(ea, 15, 3), acked(ea, 17, false)},
		{"an orderly end", closed, acked(ea, 17, true)},
		{"an event", event, &wire.Ack{Epochs: []wire.EpochAck{}, Events: &wire.EventAck{Epoch: ea, Upto: 3}}},
		{"it again", event, &wire.Ack{Epochs: []wire.EpochAck{}, Events: &wire.EventAck{Epoch: ea, Upto: 3}}},
	}
	for _, s := range steps {
		if got := c.ask(s.say); !reflect.DeepEqual(got, s.hear) {
			t.Errorf("%s: %+v, want %+v", s.what, got, s.hear)
		}
	}
	if pong, ok := c.ask(&wire.Ping{T0: 42}).(*wire.Pong); !ok || pong.T0 != 42 || time.Since(time.UnixMicro(pong.T1)).Abs() > time.Minute {
		t.Errorf("pong: %+v", pong)
	}
	e.Kill()
	cutLastLine(t, e)
	e.Start(t)
	c, w = call(t, e, held...)
	if want := []wire.EpochAck{{Epoch: ea, Upto: 17, Done: true}, {Epoch: eb, Upto: 1}}; !reflect.DeepEqual(w.Epochs, want) ||
		*w.Events != (wire.EventAck{Epoch: ea, Upto: 3}) {
		t.Errorf("after a kill: %+v, want %+v", w, want)
	}
	if got := c.ask(rows(eb, 2, 1)); !reflect.DeepEqual(got, acked(eb, 2, false)) {
		t.Errorf("after a kill: %+v", got)
	}
	b, err := os.ReadFile(e.Path("readings.ndjson"))
	if ends, events := strings.Count(string(b), `"end"`), strings.Count(string(b), `"kind"`); err != nil || ends != 2 || events != 1 {
		t.Errorf("%d ends, %d events (%v):\n%s", ends, events, err, b)
	}
	log := e.Read(t)
	for _, fault := range log.Faults() {
		t.Error(fault)
	}
	if len(log.Readings) != 6+2+3+3 || log.Ended[ea.String()] != "closed" {
		t.Errorf("%d readings, ends %v", len(log.Readings), log.Ended)
	}
}

// cutLastLine leaves half a line at the end of the file, as a power cut does.
func cutLastLine(t *testing.T, e *e2e.Example) {
	t.Helper()
	f, err := os.OpenFile(e.Path("readings.ndjson"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(`{"epoch": "` + eb.String() + `", "seq": 2, "dev`); err != nil {
		t.Fatal(err)
	}
}

func TestExampleLetsTheNewestWin(t *testing.T) {
	e := e2e.NewExample(t, "example_cloud.py")
	e.Start(t)
	first, _ := call(t, e)
	second, _ := call(t, e)
	if _, _, err := first.conn.ReadMessage(); !websocket.IsCloseError(err, wire.CloseSuperseded) {
		t.Errorf("the older session: %v", err)
	}
	if got := second.ask(rows(ea, 1, 1)); !reflect.DeepEqual(got, acked(ea, 1, false)) {
		t.Errorf("the newer session: %+v", got)
	}
}

// A disk that takes no more ends the example: nothing is acknowledged that is
// not there, and after a restart it knows what is.
func TestExampleDoesNotAckWhatItCannotWrite(t *testing.T) {
	e := e2e.NewExample(t, "example_cloud.py")
	e.Limit = 16
	e.Start(t)
	c, _ := call(t, e)
	var upto uint64
	for {
		c.say(rows(ea, upto+1, 20))
		_, b, err := c.conn.ReadMessage()
		if err != nil {
			break
		}
		m, err := wire.JSON.Decode(b)
		if err != nil || m.(*wire.Ack).Epochs[0].Upto != upto+20 {
			t.Fatalf("%s (%v)", b, err)
		}
		if upto += 20; upto > 1000 {
			t.Fatal("the file has no limit")
		}
	}
	if code := e.Wait(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	e.Limit = 0
	e.Start(t)
	_, w := call(t, e, wire.HelloEpoch{Epoch: ea, Oldest: 1, Last: 1000})
	if got := w.Epochs[0].Upto; got < upto || got > upto+20 {
		t.Errorf("acknowledged %d, after a restart %d", upto, got)
	}
}
