package builtin_test

import (
	"os"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
)

// visitsOfStorm is how many visits each driver gets; STORM=500000 makes ten
// millions of all drivers.
func visitsOfStorm(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("STORM"))
	switch {
	case err == nil:
		return n
	case testing.Short():
		return 200
	}
	return 5000
}

// Whatever befalls a chip that its bytes can show: no wrong value is given as
// good, and the device comes back.
func TestStorm(t *testing.T) {
	var sum drivertest.Tally
	for _, d := range builtin.Drivers() {
		if d.Simulate == nil || d.Open == nil {
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := drivertest.Storm(drivertest.Case{Driver: d}, 1, visitsOfStorm(t))
				if err != nil {
					t.Error(err)
				}
				t.Logf("%+v", got)
				sum.Visits, sum.Faults = sum.Visits+got.Visits, sum.Faults+got.Faults
				if got.Good == 0 || got.Failed == 0 {
					t.Errorf("a storm without good visits or without failed ones: %+v", got)
				}
			})
		})
	}
	t.Logf("%d visits, %d of them with a fault", sum.Visits, sum.Faults)
}
