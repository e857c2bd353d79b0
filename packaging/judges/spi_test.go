package judges

import (
	"testing"

	gobotcore "gobot.io/x/gobot/v2"
	"gobot.io/x/gobot/v2/drivers/spi"
)

// gobotPort makes the port of a subject one that gobot's drivers take.
type gobotPort struct{ s *subject }

func (p gobotPort) GetSpiConnection(_, _, _, _ int, _ int64) (spi.Connection, error) {
	return gobotSPI{s: p.s}, nil
}
func (p gobotPort) SpiDefaultBusNumber() int  { return 0 }
func (p gobotPort) SpiDefaultChipNumber() int { return 0 }
func (p gobotPort) SpiDefaultMode() int       { return 0 }
func (p gobotPort) SpiDefaultBitCount() int   { return 8 }
func (p gobotPort) SpiDefaultMaxSpeed() int64 { return 1000000 }

// gobotSPI passes the one kind of transfer that is needed here.
type gobotSPI struct {
	gobotcore.SpiOperations // nil: nothing else is called
	s                       *subject
}

func (c gobotSPI) ReadCommandData(w, r []byte) error { return c.s.target.SPI.Tx(w, r) }
func (c gobotSPI) Close() error                      { return nil }

var spiProofs = []proof{
	{chip: "MCP3008", driver: "mcp3008", judge: "A", by: gobot, try: func(t *testing.T) {
		s := newSubject(t, "mcp3008", nil)
		d := spi.NewMCP3008Driver(gobotPort{s})
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		for i, q := range s.driver.Quantities {
			s.agree(q.Name, 0.0033, []float64{0, 0.0033, 0.5, 1.1 + float64(i)/10, 2.5, 3.29}, func() (float64, error) {
				code, err := d.Read(i)
				return float64(code) * 3.3 / 1024, err
			})
		}
	}},
	{chip: "MCP3008", driver: "mcp3008", judge: "E", by: "datasheet DS21295D, equation 4-2", try: func(t *testing.T) {
		s := newSubject(t, "mcp3008", map[string]any{"reference": 5.0})
		for volts, code := range map[float64]int{0: 0, 5.0 / 1024: 1, 1.25: 256, 2.5: 512, 5.0 * 1022 / 1024: 1022} {
			s.set("voltage5", volts)
			r := make([]byte, 3)
			if err := s.target.SPI.Tx([]byte{1, 0xd0, 0}, r); err != nil || int(r[1]&3)<<8|int(r[2]) != code {
				t.Errorf("%v V: %x, want %d (%v)", volts, r, code, err)
			}
			if got := s.visit()["voltage5"]; !near(got.Value, volts, 1e-9) {
				t.Errorf("%v V: ours reads %+v", volts, got)
			}
		}
	}},
	{chip: "MAX31855", driver: "max31855", judge: "E", by: "type K of ITS-90, NIST Monograph 175", try: func(t *testing.T) {
		s := newSubject(t, "max31855", nil)
		for cel, mv := range map[float64]float64{-200: -5.891, -100: -3.554, 100: 4.096, 400: 16.397, 1000: 41.276, 1300: 52.410} {
			s.set("cold-junction", 0)
			s.set("temperature", cel)
			r := make([]byte, 4)
			if err := s.target.SPI.Tx(make([]byte, 4), r); err != nil {
				t.Fatal(err)
			}
			// The chip says volts as a straight line of 41.276 µV/K, in quarters of 1 K.
			said := float64(int32(uint32(r[0])<<24|uint32(r[1])<<16)>>18) / 4
			if !near(said*0.041276, mv, 0.006) {
				t.Errorf("%v Cel: the chip says %v, which is %v mV, want %v", cel, said, said*0.041276, mv)
			}
			// A quarter of 1 K of the straight line is up to 0.7 K at -200 °C.
			if got := s.visit()["temperature"]; !near(got.Value, cel, 0.5) {
				t.Errorf("%v Cel: ours reads %+v", cel, got)
			}
		}
	}},
	{chip: "MAX31865", driver: "max31865", judge: "E", by: "Pt100 of IEC 60751, table 1", try: func(t *testing.T) {
		s := newSubject(t, "max31865", nil)
		for cel, ohm := range map[float64]float64{-200: 18.5201, -100: 60.2558, 0: 100, 25: 109.7347, 100: 138.5055, 850: 390.4811} {
			s.set("temperature", cel)
			got := s.visit()
			if !near(got["resistance"].Value, ohm, 0.0067) || !near(got["temperature"].Value, cel, 0.025) {
				t.Errorf("%v Cel: ours reads %v, want %v Ohm", cel, got, ohm)
			}
		}
	}},
}
