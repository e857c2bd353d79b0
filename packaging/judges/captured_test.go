package judges

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
)

// replayed lets the driver make visits to a chip that answers as a transcript
// says, a visit for each line of want: what it must give, in the order of the
// driver's quantities. They may differ by tolerance.
func replayed(t *testing.T, driver string, address uint16, options map[string]any, tolerance float64, file string, want [][]float64) {
	t.Helper()
	visits := replay(t, driver, address, options, file, len(want))
	for i, quantities := range want {
		if len(visits[i]) != len(quantities) {
			t.Fatalf("visit %d: %v, want %v", i, visits[i], quantities)
		}
		for n, v := range visits[i] {
			if v.Doubt != "" || !near(v.Value, quantities[n], tolerance) {
				t.Errorf("visit %d: %v, want %v", i, v, quantities[n])
			}
		}
	}
}

// replay gives the values of some visits.
func replay(t *testing.T, driver string, address uint16, options map[string]any, file string, visits int) [][]drivers.Value {
	t.Helper()
	var row drivers.Driver
	for _, d := range builtin.Drivers() {
		if d.Name == driver {
			row = d
		}
	}
	target := drivers.Target{I2C: drivertest.Replay(t, "testdata/"+file), Address: address, Options: row.Defaults()}
	maps.Copy(target.Options, options)
	sensor, err := row.Open(context.Background(), target)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]drivers.Value
	for i := range visits {
		if starter, ok := sensor.(drivers.Starter); ok {
			wait, err := starter.Start(context.Background())
			if err != nil {
				t.Fatalf("visit %d: %v", i, err)
			}
			time.Sleep(wait)
		}
		vs, err := sensor.Read(context.Background())
		if err != nil {
			t.Fatalf("visit %d: %v", i, err)
		}
		all = append(all, slices.Clone(vs)) // they are the sensor's own until the next visit
	}
	return all
}
