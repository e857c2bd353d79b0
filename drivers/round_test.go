package drivers_test

import (
	"math"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
)

func TestRound(t *testing.T) {
	for _, c := range []struct {
		q       drivers.Quantity
		v, want float64
	}{
		{drivers.Quantity{Unit: "Cel"}, 17.59403819797444, 17.594},
		{drivers.Quantity{Unit: "Cel"}, -0.00001, 0},
		{drivers.Quantity{Unit: "Cel"}, -5.2506, -5.251},
		{drivers.Quantity{Unit: "Cel", Decimals: 4}, 23.4375, 23.4375},
		{drivers.Quantity{Unit: "Cel", Decimals: 7}, 0.0078125, 0.0078125},
		{drivers.Quantity{Unit: "Pa"}, 100806.05783961336, 100806.1},
		{drivers.Quantity{Unit: "A"}, 21 * 1.25e-3, 0.02625},
		{drivers.Quantity{Unit: "kg"}, 0.1 + 0.2, 0.1 + 0.2},
		{drivers.Quantity{Unit: "V"}, 1e300, 1e300},
		{drivers.Quantity{Unit: "V"}, math.MaxFloat64, math.MaxFloat64},
	} {
		if got := c.q.Round(c.v); got != c.want || got == 0 && math.Signbit(got) {
			t.Errorf("%v %s: %v, want %v", c.v, c.q.Unit, got, c.want)
		}
	}
}
