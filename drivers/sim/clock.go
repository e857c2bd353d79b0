package sim

import (
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// SinceStart gives a clock that starts now.
func SinceStart() drivers.Clock {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// Steady is a quantity that never changes.
func Steady(v float64) drivers.Curve { return func(time.Duration) float64 { return v } }

// Usual gives a steady curve with a usual value for each quantity.
func Usual(qs []drivers.Quantity) map[string]drivers.Curve {
	all := make(map[string]drivers.Curve, len(qs))
	for _, q := range qs {
		all[q.Name] = Steady(q.Usual())
	}
	return all
}

// Wander is a quantity that moves as in life: around mean, by swing up and
// down within a period, with faster and smaller movement on top. It stays
// within 1.3 swings of the mean, and is the same whenever it is asked for the
// same time.
func Wander(mean, swing float64, period time.Duration) drivers.Curve {
	return func(at time.Duration) float64 {
		turn := 2 * math.Pi * at.Seconds() / period.Seconds()
		return mean + swing*(math.Sin(turn)+0.2*math.Sin(5.3*turn)+0.1*math.Sin(41*turn))
	}
}
