package uplink_test

import (
	"context"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A slowGrowth is a store that takes a while to give readings of its growing
// epoch.
type slowGrowth struct {
	*uplinktest.Store
	takes time.Duration
}

func (s *slowGrowth) Next(ctx context.Context, e gateway.EpochID, seq uint64, most int) (gateway.Block, error) {
	all := s.All()
	if all[len(all)-1].ID == e {
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return gateway.Block{}, ctx.Err()
		}
	}
	return s.Store.Next(ctx, e, seq, most)
}

// A session begins with a backlog and live readings, and the store gives the
// backlog first: live readings are the first message all the same. A store that
// does not give them keeps the backlog back for a second, no longer.
func TestLiveLeavesBeforeBacklog(t *testing.T) {
	for _, tc := range []struct {
		name  string
		takes time.Duration
		first wire.Lane
	}{
		{"live comes 50 ms later", 50 * time.Millisecond, wire.LaneLive},
		{"live does not come", time.Hour, wire.LaneBacklog},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var seen func() []wire.Update
			inTestbed(t, func(w *testbed, o *uplink.Options) {
				w.cloud.Welcome.Lim.Msg = wire.MinMessage
				w.store.Noise = true
				for range 10 {
					w.store.Append(1000)
				}
				w.store.Reopen(true)
				w.store.Append(3)
				o.Source = &slowGrowth{w.store, tc.takes}
				seen = w.updates()
			}, func(w *testbed) {
				w.online()
				w.pass(1100 * time.Millisecond)
				if got := seen(); len(got) < 2 || got[0].Lane != tc.first {
					t.Errorf("%d updates, want %v first: %+v", len(got), tc.first, got)
				}
			})
		})
	}
}
