package cloud_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

var noon = time.Date(2026, 4, 27, 12, 0, 0, 0, time.UTC)

// rows gives an update of n rows whose values are their seq, one a second.
func rows(e gateway.EpochID, first, n uint64) *wire.Update {
	u := &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: n}
	for seq := first; seq < first+n; seq++ {
		u.Readings = append(u.Readings, wire.Row{
			Device: "boiler", Quantity: "temperature", Value: new(float64(seq)), Unit: "Cel",
			Timestamp: wire.Time(noon.Add(time.Duration(seq) * time.Second).UnixMicro()), Quality: "good", Time: "ntp",
		})
	}
	return u
}

// TestJSONSession sends in JSON what the rules are about; the log holds blocks
// in CBOR all the same, and the answers are those of CBOR.
func TestJSONSession(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, w := s.openIn(wire.JSON, e)
	if len(w.Epochs) != 1 || w.Epochs[0].Upto != 0 {
		t.Errorf("welcome %+v", w)
	}
	p.acked(rows(e, 1, 10))
	if a := p.acked(rows(e, 6, 10)); a.Upto != 15 { // partly known
		t.Errorf("ack %+v", a)
	}
	p.send(rows(e, 20, 1))
	if n := recv[*wire.Nack](p); n.Code != wire.NackSeq || n.Expected != 16 {
		t.Errorf("nack %+v", n)
	}
	p.acked(gap(e, 16, 4))
	p.send(event(e, 1))
	if a := recv[*wire.Ack](p); a.Events == nil || a.Events.Upto != 1 {
		t.Errorf("ack of an event %+v", a)
	}
	last := rows(e, 20, 1)
	last.End = &wire.End{Closed: new(uint64(20))}
	if a := p.acked(last); !a.Done || a.Upto != 20 {
		t.Errorf("ack of the end %+v", a)
	}
	p.conn.Close()
	for r, err := range s.log.Read(t.Context(), s.id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		m, err := wire.Decode(r.Body)
		if u, ok := m.(*wire.Update); r.Kind != record.KindOpen && (err != nil || ok && len(u.Readings) > 0) {
			t.Errorf("record %d holds %+v, %v", r.Seq, m, err)
		}
	}
	var got []string
	for _, l := range s.lines("") {
		if l.Type == "" {
			got = append(got, fmt.Sprintf("%d=%g", l.Seq, *l.Value))
			if want := noon.Add(time.Duration(l.Seq) * time.Second).Format("2006-01-02T15:04:05.000Z"); l.Timestamp != want ||
				l.Time != "ntp" || l.Unit != "Cel" {
				t.Errorf("line %+v, want the time %s", l, want)
			}
			continue
		}
		got = append(got, l.Type)
	}
	want := "1=1 2=2 3=3 4=4 5=5 6=6 7=7 8=8 9=9 10=10 11=11 12=12 13=13 14=14 15=15 gap event 20=20 end"
	if strings.Join(got, " ") != want {
		t.Errorf("the log holds\n%s, want\n%s", got, want)
	}
	if _, w := s.open(e); w.Epochs[0].Upto != 20 || !w.Epochs[0].Done {
		t.Errorf("welcomed in CBOR with %+v", w.Epochs)
	}
}

// TestRowsOfManyKinds: each change of how far the times may be believed, and
// every quality and missing value, survives.
func TestRowsOfManyKinds(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.openIn(wire.JSON, e)
	u := rows(e, 1, 12)
	for i := range u.Readings {
		u.Readings[i].Time = []string{"none", "none", "rtc", "session", "ntp"}[i%5]
		u.Readings[i].Quality = []string{"good", "suspect", "stale", "out_of_range", "simulated"}[i%5]
		u.Readings[i].Device = fmt.Sprintf("d%d", i%3)
	}
	u.Readings[7].Value = nil
	p.acked(u)
	ls := s.lines("")
	if len(ls) != 12 {
		t.Fatalf("%d lines", len(ls))
	}
	for i, l := range ls {
		r := u.Readings[i]
		if l.DeviceID != r.Device || l.Quality != r.Quality || l.Time != r.Time || l.Seq != uint64(i+1) || (l.Value == nil) != (i == 7) {
			t.Errorf("line %+v for row %+v", l, r)
		}
	}
}

func TestRowsThatCannotBeStored(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.openIn(wire.JSON, e)
	before := s.lastSeq()
	future := rows(e, 1, 2)
	future.Readings[1].Timestamp = wire.Time(time.Now().Add(48 * time.Hour).UnixMicro())
	flicker := rows(e, 1, 2*wire.MaxBlocks+2)
	for i := range flicker.Readings {
		flicker.Readings[i].Time = []string{"rtc", "ntp"}[i%2]
	}
	crooked := thinnedRows(e)
	crooked.ThinnedRows[1].Timestamp += 1e6
	for name, c := range map[string]struct {
		u    *wire.Update
		code wire.NackCode
	}{
		"in the future":              {future, wire.NackTime},
		"changing time all the time": {flicker, wire.NackBlock},
		"thinned off the grid":       {crooked, wire.NackBlock},
	} {
		p.send(c.u)
		if n := recv[*wire.Nack](p); n.Code != c.code || n.Retry || n.First != 1 || n.N != c.u.N {
			t.Errorf("%s: nack %+v", name, n)
		}
	}
	if s.lastSeq() != before {
		t.Error("a refused update was stored")
	}
	p.acked(rows(e, 1, 3))
	s.wantSeqs(e, 3)
}

func thinnedRows(e gateway.EpochID) *wire.Update {
	row := func(device string, minute int, n uint64) wire.ThinnedRow {
		at := noon.Add(time.Duration(minute)*time.Minute + 17*time.Second) // the gateway's minutes are not those of the wall
		return wire.ThinnedRow{Device: device, Quantity: "temperature", Unit: "Cel", Timestamp: wire.Time(at.UnixMicro()), IntervalS: 60,
			Count: n, Min: new(1.5), Max: new(3.5), Mean: new(2.25), Quality: "suspect", Time: "rtc"}
	}
	u := &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: 1, N: 60}
	u.ThinnedRows = []wire.ThinnedRow{row("a", 0, 10), row("b", 0, 20), row("a", 1, 29), row("b", 2, 1)}
	u.ThinnedRows[3].Min, u.ThinnedRows[3].Max, u.ThinnedRows[3].Mean = nil, nil, nil
	return u
}

func TestThinnedRows(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.openIn(wire.JSON, e)
	if a := p.acked(thinnedRows(e)); a.Upto != 60 {
		t.Errorf("ack %+v", a)
	}
	var got []string
	for _, l := range s.lines("") {
		if l.Type != "thinned" || l.IntervalS != 60 || l.Time != "rtc" || l.Quality != "suspect" || l.N != 60 {
			t.Errorf("line %+v", l)
		}
		what := "nothing"
		if l.Min != nil {
			what = fmt.Sprintf("%g..%g~%g", *l.Min, *l.Max, *l.Mean)
		}
		got = append(got, fmt.Sprintf("%s %s %d %s", l.DeviceID, l.Timestamp[11:19], l.Count, what))
	}
	want := "[a 12:00:17 10 1.5..3.5~2.25 a 12:01:17 29 1.5..3.5~2.25 b 12:00:17 20 1.5..3.5~2.25 b 12:02:17 1 nothing]"
	if fmt.Sprint(got) != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

// TestSimpleClient is the client of a few lines: it knows no hello, its
// readings have no names, and it sees an ack for each.
func TestSimpleClient(t *testing.T) {
	s := newSite(t, nil)
	send := func(p *peer, text string) {
		t.Helper()
		p.sendRaw(websocket.TextMessage, []byte(text))
	}
	p := s.dialIn(wire.JSON)
	send(p, `{"device_id":"sensor-001","type":"temperature_update","value":23.5,"timestamp":"2025-05-29T12:45:00Z"}`)
	recv[*wire.Welcome](p)
	for i := range 3 {
		if i > 0 {
			send(p, `{"device_id":"boiler","quantity":"pressure","unit":"Pa","value":`+fmt.Sprint(i)+`,"quality":"suspect"}`)
		}
		if a := recv[*wire.Ack](p); len(a.Epochs) != 0 || a.Events != nil || a.Win != nil {
			t.Errorf("ack %+v", a)
		}
	}
	send(p, `{"device_id":"door","value":true,"timestamp":"2099-01-01T00:00:00Z","time":"ntp"}`)
	if m := recv[*wire.Error](p); m.Code != "time" {
		t.Errorf("a reading of 2099: %+v", m)
	}
	p.conn.Close()
	p = s.dialIn(wire.JSON)
	send(p, `{"device_id":"door","value":true}`)
	recv[*wire.Welcome](p)
	recv[*wire.Ack](p)

	var got []string
	for _, l := range s.lines("") {
		got = append(got, fmt.Sprintf("%s/%s %g%s %d %s", l.DeviceID, l.Quantity, *l.Value, l.Unit, l.Seq, l.Time))
		if l.DeviceID == "sensor-001" && l.Timestamp != "2025-05-29T12:45:00.000Z" {
			t.Errorf("line %+v", l)
		}
	}
	want := "[sensor-001/temperature 23.5 1 none boiler/pressure 1Pa 2 session boiler/pressure 2Pa 3 session door/value 1 1 session]"
	if fmt.Sprint(got) != want {
		t.Errorf("the log holds\n%s, want\n%s", got, want)
	}
	ends := ""
	for _, e := range s.gateways()[0].Epochs {
		ends += e.End + " "
	}
	if ends != "closed growing " {
		t.Errorf("the epochs of bare readings are %s", ends)
	}
}
