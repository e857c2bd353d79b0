package sim

import (
	"math"
	"math/rand/v2"
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

// Drift is a curve that creeps away, by so much in an hour.
func Drift(c drivers.Curve, perHour float64) drivers.Curve {
	return func(at time.Duration) float64 { return c(at) + perHour*at.Hours() }
}

// Noise is a curve that jitters by up to amplitude up and down, ten times a
// second. It is the same whenever it is asked for the same time.
func Noise(c drivers.Curve, amplitude float64) drivers.Curve {
	return func(at time.Duration) float64 {
		random := rand.New(rand.NewPCG(uint64(at/(100*time.Millisecond)), 1))
		return c(at) + amplitude*(2*random.Float64()-1)
	}
}

// Stuck is a curve that stays where it is from a moment on.
func Stuck(c drivers.Curve, from time.Duration) drivers.Curve {
	return func(at time.Duration) float64 { return c(min(at, from)) }
}
