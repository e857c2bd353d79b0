package judges

import (
	"testing"
	"time"

	"periph.io/x/conn/v3/physic"
	periphina219 "periph.io/x/devices/v3/ina219"
	"tinygo.org/x/drivers/ina219"
	"tinygo.org/x/drivers/ina260"
)

var (
	inaVolts = []float64{0, 0.004, 1.252, 3.3, 5, 11.98, 24, 26}
	inaAmps  = []float64{-3.19, -1, -0.5, -0.01, 0, 0.01, 0.5, 1, 2.5, 3.19}
)

var ina2xxProofs = []proof{
	{chip: "INA219", driver: "ina219", judge: "A", by: tinygo, dispute: "it reads from 16.384 V on as negative, where SBOS448 " +
		"8.6.3.3 has no sign; " +
		"its setting for 2 A has the calibration of another, 8192 for 4096", try: func(t *testing.T) {
		s := newSubject(t, "ina219", nil)
		d := ina219.New(s.bus)
		config := ina219.Config32V2A
		config.Calibration = ina219.Calibration32V2A
		d.SetConfig(config)
		s.agree("voltage", 0.0041, inaVolts[:6], func() (float64, error) {
			mv, _, _, _, err := sense219(d)
			return float64(mv) / 1000, err
		})
		// Its calibration is for steps of 0.1 mA.
		s.agree("current", 0.0002, inaAmps, func() (float64, error) {
			_, _, ma, _, err := sense219(d)
			return float64(ma) / 1000, err
		})
	}},
	{chip: "INA219", driver: "ina219", judge: "A", by: periph, try: func(t *testing.T) {
		s := newSubject(t, "ina219", nil)
		sense := func() (periphina219.PowerMonitor, error) {
			d, err := periphina219.New(s.bus, &periphina219.DefaultOpts)
			if err != nil {
				return periphina219.PowerMonitor{}, err
			}
			time.Sleep(time.Second)
			return d.Sense()
		}
		// It sets a range of 16 V.
		s.agree("voltage", 0.0041, inaVolts[:6], func() (float64, error) {
			pm, err := sense()
			return float64(pm.Voltage) / float64(physic.Volt), err
		})
		// Its calibration is cut to a whole number: 1 in 12,000.
		s.agree("current", 0.0004, inaAmps, func() (float64, error) {
			pm, err := sense()
			return float64(pm.Current) / float64(physic.Ampere), err
		})
		s.set("voltage", 11.98)
		s.set("current", 1)
		pm, err := sense()
		if ours := s.visit()["power"].Value; err != nil || !near(float64(pm.Power)/float64(physic.Watt), ours, 0.01) {
			t.Errorf("power: ours %v, theirs %v, %v", ours, pm.Power, err)
		}
	}},
	{chip: "INA260", driver: "ina260", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "ina260", nil)
		d := ina260.New(s.bus)
		configure := func() {
			d.Configure(ina260.Config{AverageMode: ina260.AVGMODE_1, VoltConvTime: ina260.CONVTIME_1100USEC,
				CurrentConvTime: ina260.CONVTIME_1100USEC, Mode: ina260.MODE_CONTINUOUS | ina260.MODE_VOLTAGE | ina260.MODE_CURRENT})
			time.Sleep(time.Second)
		}
		if !d.Connected() {
			t.Error("it does not find the chip")
		}
		s.agree("voltage", 0.00126, append(inaVolts, 36), func() (float64, error) {
			configure()
			return float64(d.Voltage()) / 1e6, nil
		})
		s.agree("current", 0.00126, append(inaAmps, -15, 15), func() (float64, error) {
			configure()
			return float64(d.Current()) / 1e6, nil
		})
		s.set("voltage", 12)
		s.set("current", 2)
		if ours := s.visit()["power"].Value; !near(float64(d.Power())/1e6, ours, 0.011) {
			t.Errorf("power: ours %v, theirs %v", ours, d.Power())
		}
	}},
	{chip: "INA219", driver: "ina219", judge: "E", by: "datasheet SBOS448, table 8", try: func(t *testing.T) {
		example(t, "ina219", 0x07d0, 0x5d98>>3)
	}},
	{chip: "INA226", driver: "ina226", judge: "E", by: "datasheet SBOS547, table 2", try: func(t *testing.T) {
		example(t, "ina226", 8000, 9584)
	}},
}

// example is that of both datasheets: 10 A through 2 mOhm at 11.98 V. The
// registers must be those of the page.
func example(t *testing.T, driver string, shunt, bus int) {
	s := newSubject(t, driver, map[string]any{"shunt": 0.002})
	s.set("voltage", 11.98)
	s.set("current", 10)
	got := s.visit()
	if !near(got["voltage"].Value, 11.98, 1e-9) || !near(got["current"].Value, 10, 1e-9) || !near(got["power"].Value, 119.8, 1e-9) {
		t.Errorf("ours reads %v", got)
	}
	for reg, want := range map[byte]int{1: shunt, 2: bus} {
		var r [2]byte
		if err := s.bus.Tx(0x40, []byte{reg}, r[:]); err != nil {
			t.Fatal(err)
		}
		raw := int(r[0])<<8 | int(r[1])
		if driver == "ina219" && reg == 2 {
			raw >>= 3
		}
		if raw != want {
			t.Errorf("register %d holds %d, want %d", reg, raw, want)
		}
	}
}

// sense219 configures the chip and reads it once it has measured.
func sense219(d ina219.Device) (mv, shunt int16, ma, mw float32, err error) {
	if err := d.Configure(); err != nil {
		return 0, 0, 0, 0, err
	}
	time.Sleep(time.Second)
	return d.Measurements()
}
