package bmp3xx

import (
	"encoding/binary"
	"errors"
	"math"
)

// notMeasured is what the data registers hold after power-up (DS001 4.3).
const notMeasured = 0x800000

// A calibration is what the factory measured of this one chip, scaled as DS001
// 9.1 says.
type calibration struct {
	t1, t2, t3                      float64
	p1, p2, p3, p4, p5, p6          float64
	p7, p8, p9, p10, p11            float64
	emptyTemperature, emptyPressure bool
}

// parse reads it from registers 0x31 to 0x45 (DS001 3.11.1, 9.1).
func parse(b [21]byte) calibration {
	u := func(i int, exponent int) float64 {
		return math.Ldexp(float64(binary.LittleEndian.Uint16(b[i:])), exponent)
	}
	s := func(i int, less float64, exponent int) float64 {
		return math.Ldexp(float64(int16(binary.LittleEndian.Uint16(b[i:])))-less, exponent)
	}
	c := func(i int, exponent int) float64 { return math.Ldexp(float64(int8(b[i])), exponent) }
	empty := func(i int) bool { return b[i] == b[i+1] && (b[i] == 0 || b[i] == 0xff) }
	return calibration{
		t1: u(0, 8), t2: u(2, -30), t3: c(4, -48),
		p1: s(5, 16384, -20), p2: s(7, 16384, -29), p3: c(9, -32), p4: c(10, -37),
		p5: u(11, 3), p6: u(13, -6), p7: c(15, -8), p8: c(16, -15),
		p9: s(17, 0, -48), p10: c(19, -48), p11: c(20, -65),
		emptyTemperature: empty(0) || empty(2), emptyPressure: empty(11) || empty(13),
	}
}

// check fails for a calibration that no chip has: nothing or all ones was read.
func (c calibration) check() error {
	if c.emptyTemperature || c.emptyPressure {
		return errors.New("it is empty: the chip or the bus is faulty")
	}
	return nil
}

// temperature gives Cel (DS001 9.2).
func (c calibration) temperature(raw uint32) float64 {
	x := float64(raw) - c.t1
	return x*c.t2 + x*x*c.t3
}

// pressure gives Pa at a temperature (DS001 9.3).
func (c calibration) pressure(raw uint32, cel float64) float64 {
	p := float64(raw)
	offset := c.p5 + cel*(c.p6+cel*(c.p7+cel*c.p8))
	slope := c.p1 + cel*(c.p2+cel*(c.p3+cel*c.p4))
	return offset + p*(slope+p*(c.p9+cel*c.p10+p*c.p11))
}
