package gpioin_test

import (
	"testing"

	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/gpioin"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for _, c := range []struct {
		level     gpio.Level
		activeLow bool
		want      float64
	}{{gpio.High, false, 1}, {gpio.Low, false, 0}, {gpio.High, true, 0}, {gpio.Low, true, 1}} {
		drivertest.Run(t, drivertest.Case{
			Driver: gpioin.Driver(),
			Want:   map[string]float64{"level": c.want},
			Target: func() drivers.Target {
				pin := sim.NewPin("GPIO17", func() gpio.Level { return c.level })
				return drivers.Target{Pin: pin, ActiveLow: c.activeLow}
			},
			Break: func(t drivers.Target, err error) { t.Pin.(*sim.Pin).Fail(err) },
		})
	}
}

func open(t *testing.T, pin gpio.PinIO, pull string) drivers.Sensor {
	t.Helper()
	s, err := gpioin.Driver().Open(t.Context(), drivers.Target{Pin: pin, Options: map[string]any{"pull": pull}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPull(t *testing.T) {
	for option, want := range map[string]gpio.Pull{"none": gpio.Float, "up": gpio.PullUp, "down": gpio.PullDown} {
		pin := sim.NewPin("GPIO17", func() gpio.Level { return gpio.Low })
		open(t, pin, option)
		if pin.Pull() != want {
			t.Errorf("pull = %q: %v, want %v", option, pin.Pull(), want)
		}
	}
}

// A pin that is no more than periph asks for: it has no ReadLevel.
func TestPlainPin(t *testing.T) {
	plain := struct{ gpio.PinIO }{sim.NewPin("GPIO17", func() gpio.Level { return gpio.High })}
	s := open(t, plain, "none")
	if vs, err := s.Read(t.Context()); err != nil || vs[0].Value != 1 {
		t.Errorf("read %v, %v", vs, err)
	}
}

func TestOpenFails(t *testing.T) {
	pin := sim.NewPin("GPIO17", nil)
	pin.Fail(drivers.ErrBus)
	_, err := gpioin.Driver().Open(t.Context(), drivers.Target{Pin: pin, Options: gpioin.Driver().Defaults()})
	if err == nil || err.Error() != "open GPIO17: bus unusable" {
		t.Errorf("error = %v", err)
	}
}
