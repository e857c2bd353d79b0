package judges

import (
	"context"
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
	var row drivers.Driver
	for _, d := range builtin.Drivers() {
		if d.Name == driver {
			row = d
		}
	}
	target := drivers.Target{I2C: drivertest.Replay(t, "testdata/"+file), Address: address, Options: row.Defaults()}
	for name, v := range options {
		target.Options[name] = v
	}
	sensor, err := row.Open(context.Background(), target)
	if err != nil {
		t.Fatal(err)
	}
	for i, quantities := range want {
		if starter, ok := sensor.(drivers.Starter); ok {
			wait, err := starter.Start(context.Background())
			if err != nil {
				t.Fatalf("visit %d: %v", i, err)
			}
			time.Sleep(wait)
		}
		vs, err := sensor.Read(context.Background())
		if err != nil || len(vs) != len(quantities) {
			t.Fatalf("visit %d: %v, %v, want %v", i, vs, err, quantities)
		}
		for n, v := range vs {
			if v.Doubt != "" || !near(v.Value, quantities[n], tolerance) {
				t.Errorf("visit %d: %v, want %v", i, v, quantities[n])
			}
		}
	}
}
