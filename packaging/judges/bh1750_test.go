package judges

import (
	"testing"
	"time"

	gobotbh1750 "gobot.io/x/gobot/v2/drivers/i2c"
	"periph.io/x/conn/v3/physic"
	periphbh1750 "periph.io/x/devices/v3/bh1750"
	tinybh1750 "tinygo.org/x/drivers/bh1750"
)

var illuminances = []float64{0, 1, 5, 34.2, 100, 320, 1000, 10000, 54000}

// settled is how long a BH1750 measures at most, from its technical note.
const settled = 180 * time.Millisecond

var bh1750Proofs = []proof{
	{chip: "BH1750", driver: "bh1750", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "bh1750", nil)
		d := tinybh1750.New(s.bus)
		for _, mode := range []tinybh1750.SamplingMode{tinybh1750.CONTINUOUS_HIGH_RES_MODE, tinybh1750.CONTINUOUS_HIGH_RES_MODE_2} {
			values := illuminances
			if mode == tinybh1750.CONTINUOUS_HIGH_RES_MODE_2 {
				values = illuminances[:8] // it measures half as far
			}
			s.agree("illuminance", 0.5, values, func() (float64, error) {
				d.Configure()
				d.SetMode(mode)
				time.Sleep(settled)
				return float64(d.Illuminance()) / 1000, nil
			})
		}
	}},
	{chip: "BH1750", driver: "bh1750", judge: "A", by: periph,
		dispute: "it waits 140 ms, and a measurement may take 180 ms (technical note p. 2). So it reads a typical chip right",
		try: func(t *testing.T) {
			s := newSubject(t, "bh1750", nil)
			s.agree("illuminance", 1, illuminances, func() (float64, error) {
				d, err := periphbh1750.NewI2C(s.bus, periphbh1750.I2CAddr)
				if err != nil {
					return 0, err
				}
				v, err := d.Sense()
				return float64(v) / float64(physic.Lumen), err
			})
		}},
	{chip: "BH1750", driver: "bh1750", judge: "A", by: gobot, try: func(t *testing.T) {
		s := newSubject(t, "bh1750", nil)
		d := gobotbh1750.NewBH1750Driver(gobotBus{s.bus})
		s.agree("illuminance", 1, illuminances, func() (float64, error) { // whole lx
			if err := d.Start(); err != nil {
				return 0, err
			}
			time.Sleep(settled)
			lx, err := d.Lux()
			return float64(lx), err
		})
	}},
	{chip: "BH1750", driver: "bh1750", judge: "B", by: "sigrok-dumps: bh1750_hresolutionmode.sr", try: func(t *testing.T) {
		replayed(t, "bh1750", 0x23, nil, 0.05, "bh1750-sigrok-normal.transcript", [][]float64{{34.2}})
	}},
	{chip: "BH1750", driver: "bh1750", judge: "B", by: "sigrok-dumps: bh1750_h2resolutionmode.sr, 0.11 lx per count", try: func(t *testing.T) {
		options := map[string]any{"range": "dark"}
		replayed(t, "bh1750", 0x23, options, 226*0.005, "bh1750-sigrok-dark.transcript", [][]float64{{226 * 0.11}})
	}},
	{chip: "BH1750", driver: "bh1750", judge: "E", by: "0x8390 is 28067 lx, technical note p. 10", try: func(t *testing.T) {
		replayed(t, "bh1750", 0x23, nil, 0.5, "bh1750-note.transcript", [][]float64{{28067}})
	}},
}
