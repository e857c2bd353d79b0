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
	visit, err := visitor(c)
	if err != nil {
		return err
	}
	n := testing.AllocsPerRun(20, func() {
		if err == nil {
			err = visit()
		}
	})
	if n > 0 && err == nil {
		return fmt.Errorf("a visit makes %v allocations: keep buffers in the sensor, pauses between Start and Read, or a Pauser", n)
	}
	return err
}

// visitor opens a simulated device and gives what visits it once, on a clock
// that moves by an interval with each visit, ahead of the real one.
func visitor(c Case) (visit func() error, err error) {
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
		return nil, fmt.Errorf("open a healthy device: %w", err)
	}
	now += 10 * time.Second
	visit = func() error {
		if two, ok := s.(drivers.Starter); ok {
			wait, err := two.Start(ctx)
			if err != nil {
				return err
			}
			now += wait
		}
		_, err := s.Read(ctx)
		now += b.Driver.Interval
		return err
	}
	return visit, visit()
}

// Bench measures a visit of a driver, the simulated bus and chip included.
func Bench(b *testing.B, c Case) {
	visit, err := visitor(c)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := visit(); err != nil {
			b.Fatal(err)
		}
	}
}
