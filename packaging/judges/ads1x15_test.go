package judges

import (
	"testing"

	"gobot.io/x/gobot/v2/drivers/i2c"
	periphi2c "periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/ads1x15"
)

var (
	adsVolts = []float64{-0.3, -0.002, 0, 0.002, 0.5, 1.25, 2.048, 3.3, 4.09}
	adsPairs = []float64{-4.09, -2.5, -0.002, 0, 0.002, 0.5, 3.3, 4.09}
)

var ads1x15Proofs = []proof{
	{chip: "ADS1115", driver: "ads1115", judge: "A", by: periph, try: func(t *testing.T) { periphADS(t, "ads1115", ads1x15.NewADS1115) }},
	{chip: "ADS1015", driver: "ads1015", judge: "A", by: periph, try: func(t *testing.T) { periphADS(t, "ads1015", ads1x15.NewADS1015) }},
	{chip: "ADS1115", driver: "ads1115", judge: "A", by: gobot, try: func(t *testing.T) { gobotADS(t, "ads1115", i2c.NewADS1115Driver) }},
	{chip: "ADS1015", driver: "ads1015", judge: "A", by: gobot, try: func(t *testing.T) { gobotADS(t, "ads1015", i2c.NewADS1015Driver) }},
}

// step is the resolution at a range of 4.096 V.
func step(driver string) float64 {
	if driver == "ads1015" {
		return 0.0021
	}
	return 0.00013
}

func periphADS(t *testing.T, driver string, open func(periphi2c.Bus, *ads1x15.Opts) (*ads1x15.Dev, error)) {
	s := newSubject(t, driver, nil)
	d, err := open(s.bus, &ads1x15.DefaultOpts)
	if err != nil {
		t.Fatal(err)
	}
	read := func(d *ads1x15.Dev, c ads1x15.Channel) func() (float64, error) {
		return func() (float64, error) {
			pin, err := d.PinForChannel(c, 4096*physic.MilliVolt, physic.Hertz, ads1x15.BestQuality)
			if err != nil {
				return 0, err
			}
			sample, err := pin.Read()
			return float64(sample.V) / float64(physic.Volt), err
		}
	}
	for q, c := range map[string]ads1x15.Channel{"voltage0": ads1x15.Channel0, "voltage1": ads1x15.Channel1,
		"voltage2": ads1x15.Channel2, "voltage3": ads1x15.Channel3} {
		s.agree(q, step(driver), adsVolts, read(d, c))
	}
	p := newSubject(t, driver+"-pairs", nil)
	if d, err = open(p.bus, &ads1x15.DefaultOpts); err != nil {
		t.Fatal(err)
	}
	p.agree("voltage0-1", step(driver), adsPairs, read(d, ads1x15.Channel0Minus1))
	p.agree("voltage2-3", step(driver), adsPairs, read(d, ads1x15.Channel2Minus3))
}

func gobotADS(t *testing.T, driver string, open func(i2c.Connector, ...func(i2c.Config)) *i2c.ADS1x15Driver) {
	read := func(s *subject, way func(*i2c.ADS1x15Driver) (float64, error)) func() (float64, error) {
		d := open(gobotBus{s.bus}, i2c.WithADS1x15Gain(1), i2c.WithADS1x15WaitSingleCycle())
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		return func() (float64, error) { return way(d) }
	}
	s := newSubject(t, driver, nil)
	for i, q := range []string{"voltage0", "voltage1", "voltage2", "voltage3"} {
		s.agree(q, step(driver), adsVolts, read(s, func(d *i2c.ADS1x15Driver) (float64, error) { return d.ReadWithDefaults(i) }))
	}
	p := newSubject(t, driver+"-pairs", nil)
	p.agree("voltage0-1", step(driver), adsPairs, read(p, func(d *i2c.ADS1x15Driver) (float64,
		error) {
		return d.ReadDifferenceWithDefaults(0)
	}))
	p.agree("voltage2-3", step(driver), adsPairs, read(p, func(d *i2c.ADS1x15Driver) (float64,
		error) {
		return d.ReadDifferenceWithDefaults(3)
	}))
}
