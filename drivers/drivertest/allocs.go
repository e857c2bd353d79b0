package drivertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// checkAllocations: a visit allocates nothing, beside the bus. It runs outside
// a bubble, on a clock of its own that it moves ahead of the real one.
func checkAllocations(c Case) error {
	b := c.set()
	now := 10 * time.Second
	start := time.Now()
	b.truth.Clock = func() time.Duration { return now + time.Since(start) }
	b.truth.Powered = 0
	b.wire()
	b.target.Options = b.truth.Options
	b.tape.off = true
	ctx := context.Background()
	s, err := b.Driver.Open(ctx, b.target)
	if err != nil {
		return fmt.Errorf("open a healthy device: %w", err)
	}
	now += 10 * time.Second
	visit := func() {
		if two, ok := s.(drivers.Starter); ok && err == nil {
			var wait time.Duration
			wait, err = two.Start(ctx)
			now += wait
		}
		if err == nil {
			_, err = s.Read(ctx)
		}
		now += b.Driver.Interval
	}
	visit()
	if n := testing.AllocsPerRun(20, visit); n > 0 && err == nil {
		return fmt.Errorf("a visit makes %v allocations: keep buffers in the sensor, pauses between Start and Read, or a Pauser", n)
	}
	return err
}
