package jetstream

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The advisory of an election may be lost. Who leads again under the same name
// may have lost what it was about to store, as another may: it is not who led
// before.
func TestSameServerLeadsAnew(t *testing.T) {
	of := func(server string, since time.Time) leadership {
		return leaderOf(&jetstream.StreamInfo{Cluster: &jetstream.ClusterInfo{Leader: server, LeaderSince: &since}})
	}
	first := time.Date(2026, 4, 27, 0, 0, 0, 1, time.UTC)
	if of("a", first) != of("a", first.In(time.FixedZone("", 3600))) {
		t.Error("the same time of election is another leader")
	}
	if of("a", first) == of("a", first.Add(time.Nanosecond)) {
		t.Error("a server that was elected again is the leader from before")
	}
	if of("a", first) == of("b", first) {
		t.Error("two servers are one")
	}
	silent := leaderOf(&jetstream.StreamInfo{Cluster: &jetstream.ClusterInfo{Leader: "a"}})
	if silent != (leadership{server: "a"}) || leaderOf(nil) != (leadership{}) || leaderOf(&jetstream.StreamInfo{}) != (leadership{}) {
		t.Error("who says less is no leader, or another one")
	}
}
