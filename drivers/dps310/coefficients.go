package dps310

import "errors"

// coefficients are what the factory measured of this one chip (V1.2 section 8).
type coefficients struct {
	c0, c1                            float64 // 12 bits
	c00, c10                          float64 // 20 bits
	c01, c11, c20, c21, c30           float64 // 16 bits
	emptyOfTemperature, emptyPressure bool
}

// parse reads them from registers 0x10 to 0x21: two's complements of 12, 20 and
// 16 bits, the highest bit first, one after the other.
func parse(b [18]byte) coefficients {
	number := func(from, bits int) float64 {
		v := uint32(0)
		for i := from; i < from+bits; i++ {
			v = v<<1 | uint32(b[i/8]>>(7-i%8)&1)
		}
		return float64(int32(v<<(32-bits)) >> (32 - bits))
	}
	c := coefficients{
		c0: number(0, 12), c1: number(12, 12), c00: number(24, 20), c10: number(44, 20), c01: number(64, 16),
		c11: number(80, 16), c20: number(96, 16), c21: number(112, 16), c30: number(128, 16),
	}
	c.emptyOfTemperature = c.c1 == 0 || c.c1 == -1
	c.emptyPressure = c.c10 == 0 || c.c10 == -1
	return c
}

// check fails for coefficients that no chip has: nothing or all ones was read.
func (c coefficients) check() error {
	if c.emptyOfTemperature || c.emptyPressure {
		return errors.New("they are empty: the chip or the bus is faulty")
	}
	return nil
}

// signed gives a two's complement of 24 bits, the highest byte first.
func signed(b []byte) int32 { return int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8 }

// temperature gives Cel of a scaled value (V1.2 4.9.2).
func (c coefficients) temperature(tsc float64) float64 { return c.c0/2 + c.c1*tsc }

// pressure gives Pa of scaled values (V1.2 4.9.1).
func (c coefficients) pressure(psc, tsc float64) float64 {
	return c.c00 + psc*(c.c10+psc*(c.c20+psc*c.c30)) + tsc*c.c01 + tsc*psc*(c.c11+psc*c.c21)
}
