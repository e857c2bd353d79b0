package drivers_test

import (
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
)

func TestPins(t *testing.T) {
	names := []string{"a0", "a1", "b0", "b1"}
	for list, want := range map[string]uint32{"": 0, "all": 15, "a0": 1, "b1 a1": 10, " b0  b0 ": 4} {
		if got, err := drivers.Pins(list, names); err != nil || got != want {
			t.Errorf("%q: %b, %v; want %b", list, got, err, want)
		}
	}
	for _, list := range []string{"a2", "all a0", "a0,a1", "A0"} {
		if got, err := drivers.Pins(list, names); err == nil {
			t.Errorf("%q was taken as %b", list, got)
		}
	}
}
