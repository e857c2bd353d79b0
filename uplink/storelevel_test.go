package uplink_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestLevelAndTermsReachTheStore(t *testing.T) {
	terms := &termSource{}
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.Level, w.cloud.Welcome.RetainS = wire.LevelReceived, 900
		terms.Store = w.store
		o.Source = terms
	}, func(w *testbed) {
		w.online()
		if terms.fsynced.Load() || terms.retain.Load() != int64(15*time.Minute) {
			t.Errorf("fsynced %v, retain %v", terms.fsynced.Load(), time.Duration(terms.retain.Load()))
		}
	})
}

type termSource struct {
	*uplinktest.Store
	fsynced atomic.Bool
	retain  atomic.Int64
}

func (s *termSource) Session(fsynced bool, retain time.Duration) {
	s.fsynced.Store(fsynced)
	s.retain.Store(int64(retain))
}

// A store that fails for one epoch: the others go on, it is told, and it ends.
func TestStoreThatCannotGive(t *testing.T) {
	bad := &brokenSource{}
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(5)
		bad.Store, bad.epoch = w.store, w.growing()
		bad.broken.Store(true)
		w.store.Reopen(true)
		o.Source = bad
		w.store.Append(5)
	}, func(w *testbed) {
		w.until(10*time.Second, "live", func() bool { return w.cloud.Held(w.growing()).Upto == 5 })
		w.until(time.Second, "told", func() bool { return strings.Contains(w.condition("uplink_held"), "card is gone") })
		bad.broken.Store(false)
		w.complete(time.Minute)
		if w.condition("uplink_held") != "" {
			t.Error("the condition stays")
		}
	})
}

func (s *brokenSource) Next(ctx context.Context, e gateway.EpochID, seq uint64, n int) (gateway.Block, error) {
	if e == s.epoch && s.broken.Load() {
		return gateway.Block{}, errors.New("the card is gone")
	}
	return s.Store.Next(ctx, e, seq, n)
}

type brokenSource struct {
	*uplinktest.Store
	epoch  gateway.EpochID
	broken atomic.Bool
}
