package builtin_test

import (
	"testing"

	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
)

// The cost of a visit, the simulated bus and chip included.
func BenchmarkVisit(b *testing.B) {
	for _, d := range builtin.Drivers() {
		if d.Simulate != nil && d.Open != nil {
			b.Run(d.Name, func(b *testing.B) { drivertest.Bench(b, drivertest.Case{Driver: d}) })
		}
	}
}
