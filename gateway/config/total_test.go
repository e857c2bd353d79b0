package config_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway/config"
)

// A total is stored as it was counted.
func TestTotalIsNotChanged(t *testing.T) {
	table := []drivers.Driver{{Name: "meter", Bus: drivers.BusGPIO, Interval: time.Second, Timeout: time.Second,
		Quantities: []drivers.Quantity{{Name: "count", Total: true}, {Name: "rate"}}}}
	const device = "version = 1\n[[device]]\nid=\"a\"\ndriver=\"meter\"\nline=\"L\"\n"
	_, err := config.ParseText([]byte(device+"[[device.channel]]\nquantity=\"count\"\nscale=2\noffset=1\ndeadband=1\n"), table)
	want := []string{
		"8:7: device[a].channel[count].scale: count is a total, which is stored as it was counted: what goes on after a restart is " +
			"the last one stored",
		"9:8: device[a].channel[count].offset: count is a total, which is stored as it was counted: what goes on after a restart is " +
			"the last one stored",
		"10:10: device[a].channel[count].deadband: count is a total, and a power cut costs the pulses that a deadband leaves out: it " +
			"must be below 1",
	}
	if got := lines(err); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err = config.ParseText([]byte(device+"[[device.channel]]\nquantity=\"count\"\ndeadband=0.5\n"+
		"[[device.channel]]\nquantity=\"rate\"\nscale=60\n"), table)
	if err != nil {
		t.Error(err)
	}
}
