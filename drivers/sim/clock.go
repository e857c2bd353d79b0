package sim

import (
	"math"
	"time"
)

// A Clock gives the time since some moment. It never goes back.
type Clock func() time.Duration

// SinceStart gives a clock that starts now.
func SinceStart() Clock {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// A Curve is a physical quantity as a function of a clock.
type Curve func(at time.Duration) float64

// Steady is a quantity that never changes.
func Steady(v float64) Curve { return func(time.Duration) float64 { return v } }

// Wander is a quantity that moves as in life: around mean, by swing up and
// down within a period, with faster and smaller movement on top. It stays
// within 1.3 swings of the mean, and is the same whenever it is asked for the
// same time.
func Wander(mean, swing float64, period time.Duration) Curve {
	return func(at time.Duration) float64 {
		turn := 2 * math.Pi * at.Seconds() / period.Seconds()
		return mean + swing*(math.Sin(turn)+0.2*math.Sin(5.3*turn)+0.1*math.Sin(41*turn))
	}
}
