package pipeline_test

import (
	"math"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/pipeline"
)

// A scale that makes infinity of a value does not make a good one of it.
func TestScaleBeyondAllNumbers(t *testing.T) {
	p := pipeline.New(pipeline.Options{Channels: []pipeline.Channel{{
		Device: temperature.Device, Quantity: temperature.Quantity, Scale: 1e308, Offset: 1e308,
	}}})
	for value, want := range map[float64]float64{61: math.MaxFloat64, -61: -math.MaxFloat64} {
		got := p.Treat(gateway.Reading{Channel: temperature, Value: value})
		if got.Value != want || got.Quality != gateway.OutOfRange {
			t.Errorf("%v became %v, %v", value, got.Value, got.Quality)
		}
		if got := p.Treat(gateway.Reading{Channel: temperature, Value: value, Quality: gateway.Simulated}); got.Quality != gateway.Simulated {
			t.Errorf("what is simulated became %v", got.Quality)
		}
	}
}
