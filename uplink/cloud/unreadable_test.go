package cloud_test

import (
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// TestStampThatCannotBeReadHoldsNothingUp: the update is refused by a nack that
// names it, however often it comes, and the line goes on.
func TestStampThatCannotBeReadHoldsNothingUp(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.openIn(wire.JSON, e)
	good, err := wire.JSON.Encode(rows(e, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	text := func(m string) {
		if err := p.conn.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		text(strings.Replace(string(good), "2026-04-27T12:00:01.000Z", "2026-04-31T12:00:01.000Z", 1))
		if n := recv[*wire.Nack](p); n.Code != wire.NackTime || n.Retry || n.Epoch != e || n.First != 1 {
			t.Errorf("nack %+v", n)
		}
		text(`{"type":"update","lane":"live","epoch":"` + e.String() +
			`","first":1,"n":2,"thinned_rows":[{"device_id":"d","quantity":"q","unit":"",` +
			`"timestamp":"noon","interval_s":60,"count":2,"min":1,"max":1,"mean":1,"quality":"good","time":"none"}]}`)
		if n := recv[*wire.Nack](p); n.Code != wire.NackTime || n.Retry || n.N != 2 {
			t.Errorf("nack of thinned rows %+v", n)
		}
		text(`{"device_id":"d","value":1,"timestamp":"noon"}`)
		if n := recv[*wire.Error](p); n.Code != string(wire.NackTime) {
			t.Errorf("error %+v", n)
		}
		text(`{"type":"error","code":7}`) // has no answer
	}
	if a := p.acked(rows(e, 1, 2)); a.Upto != 2 {
		t.Errorf("ack %+v", a)
	}
}
