package sample_test

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// Those who ask all the time for a chip that takes a while cost no planned visit.
func TestCrowdOfRequests(t *testing.T) {
	for _, askers := range []int{1, 2, 4} {
		bubble(t, func(t *testing.T) {
			c := &slowChip{chip: &chip{}, takes: 200 * time.Millisecond, t: t}
			slow := device("slow", "i2c-1", c.chip)
			slow.Open = func(context.Context, io.Closer) (drivers.Sensor, error) { return c, nil }
			r := start(t, slow)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var all sync.WaitGroup
			for range askers {
				all.Go(func() {
					for ctx.Err() == nil {
						_, _ = r.Visit(ctx, "slow")
					}
				})
			}
			all.Wait()
			times := r.times("slow")
			if n := strings.Count(times, " ") + 1; n < 29 || r.States()[0].Skipped != 0 {
				t.Errorf("%d askers: %d readings, %d skipped: %s", askers, n, r.States()[0].Skipped, times)
			}
		})
	}
}
