package cloud_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// TestQuietGateway: a gateway that says that the cloud has all it holds is
// complete up to then, although it has measured nothing for long; one that
// says nothing of it, or whose clock nobody set, is not.
func TestQuietGateway(t *testing.T) {
	for name, c := range map[string]struct {
		status   map[string]float64
		clock    gateway.ClockQuality
		complete bool
	}{
		"it has sent all":       {map[string]float64{"unacknowledged": 0}, gateway.ClockNTP, true},
		"it holds some":         {map[string]float64{"unacknowledged": 3, "oldest_unacknowledged_s": 86400}, gateway.ClockNTP, false},
		"it does not say":       {map[string]float64{"temperature": 0}, gateway.ClockNTP, false},
		"its clock was not set": {map[string]float64{"unacknowledged": 0}, gateway.ClockNone, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil)
			e := gateway.NewEpochID()
			p := s.dial()
			p.send(&wire.Hello{GatewayID: s.id, All: true, Epochs: []wire.HelloEpoch{{Epoch: e, Oldest: 1, Last: 10}}, Backlog: wire.Backlog{N: 10},
				Clock: wire.ClockState{Quality: c.clock}})
			recv[*wire.Welcome](p)
			u := readings(t, e, 1, 10, 10) // in April
			u.Lane = wire.LaneBacklog
			p.acked(u)
			p.send(&wire.Status{Figures: c.status})
			p.send(&wire.Ping{T0: 1})
			recv[*wire.Pong](p) // the status has been read
			var got struct {
				Complete bool
				Sentence string
			}
			if err := json.NewDecoder(s.get("/v1/gateways/"+s.id+"/completeness?from=2026-04-01T00:00:00Z&to=-5m",
				operatorToken).Body).Decode(&got); err != nil {
				t.Fatal(err)
			}
			if got.Complete != c.complete {
				t.Errorf("complete %v, %q", got.Complete, got.Sentence)
			}
			if err := json.NewDecoder(s.get("/v1/gateways/"+s.id+"/completeness?to="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
				operatorToken).Body).Decode(&got); err != nil {
				t.Fatal(err)
			}
			if today := time.Now().UTC().Format("2006-"); got.Complete || c.complete && !strings.HasPrefix(got.Sentence, "Complete up to "+today) {
				t.Errorf("an hour ahead: complete %v, %q", got.Complete, got.Sentence)
			}
		})
	}
}
