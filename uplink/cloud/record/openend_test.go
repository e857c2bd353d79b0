package record_test

import (
	"math"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// What two ends of the same readings say together. Boot 1 began at wall time
// 1,000,000 µs, boot 2 at 1,000,050 µs, boot 3 without a clock.
func TestOpenEndsAreJoined(t *testing.T) {
	anchor := func(boot byte, offset int64, q gateway.ClockQuality) wire.Anchor {
		return wire.Anchor{Boot: gateway.BootID{boot}, Offset: offset, Quality: q}
	}
	first, second, blind := anchor(1, 1_000_000, gateway.ClockNTP), anchor(2, 1_000_050, gateway.ClockNTP), anchor(3, 0, gateway.ClockNone)
	end := func(a wire.Anchor, atMost uint64, t0, t1 int64) record.OpenEnd {
		return record.OpenEnd{Why: gateway.WhyUncleanStop, AtMost: atMost, T0: t0, T1: t1, Anchor: a}
	}
	for _, c := range []struct {
		name                string
		earlier, said, want record.OpenEnd
	}{
		{"the same again", end(first, 5, 20, 30), end(first, 5, 20, 30), end(first, 5, 20, 30)},
		{"it knows the time now", end(first, 5, 20, 0), end(first, 5, 20, 30), end(first, 5, 20, 30)},
		{"it knows a bound now", end(first, gateway.AtMostUnknown, 20, 40), end(first, 5, 20, 30), end(first, 5, 20, 30)},
		{"a copy, of one boot", end(first, 3, 10, 15), end(first, 5, 20, 30), end(first, 5, 10, 30)},
		{"of another boot, its stamps are told as ones of this", end(first, 3, 200, 210), end(second, 5, 20, 30), end(second, 5, 20, 160)},
		{"of another boot, it lies before", end(second, 3, 10, 20), end(first, 5, 100, 110), end(first, 5, 60, 110)},
		{"of another boot with the same stamps", end(first, 5, 20, 0), end(second, 5, 20, 30), end(second, 5, -30, 0)},
		{"of another boot, time not known", end(first, 3, 200, 0), end(second, 5, 20, 30), end(second, 5, 20, 0)},
		{"of a boot without a clock", end(blind, 9, 1, 2), end(second, 5, 20, 30), end(second, 9, 20, 0)},
		{"in a boot without a clock", end(second, 9, 1, 2), end(blind, 5, 20, 30), end(blind, 9, 20, 0)},
		{"offsets at the end of time", end(anchor(4, math.MaxInt64, gateway.ClockNTP), 1, math.MaxInt64, math.MaxInt64),
			end(anchor(5, math.MinInt64, gateway.ClockNTP), 5, 20, 30), end(anchor(5, math.MinInt64, gateway.ClockNTP), 5, 20, math.MaxInt64)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.said.Join(c.earlier); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
