package judges

import (
	"testing"
	"time"
)

var dps310Proofs = []proof{
	{chip: "DPS310", driver: "dps310", judge: "E", by: "registers of QEMU's chip as the kernel converts them: 24.738 Cel, 92947 Pa",
		dispute: "its remainders overflow 64 bits; exactly, the formula of DPS310 V1.2, 4.9.1, gives 92946.31 Pa", try: func(t *testing.T) {
			// The simulated chip has the coefficients of QEMU's: at these values it must say its raw values.
			s := newSubject(t, "dps310", map[string]any{"oversampling": int64(1)})
			s.set("temperature", 24.73843)
			s.set("pressure", 92946.31142)
			got := s.visit()
			if !near(got["temperature"].Value, 24.7385, 0.0006) || !near(got["pressure"].Value, 92947, 1) {
				t.Errorf("ours reads %+v", got)
			}
			time.Sleep(time.Second)
			var r [6]byte
			if err := s.bus.Tx(0x77, []byte{0x00}, r[:]); err != nil {
				t.Fatal(err)
			}
			p := int32(uint32(r[0])<<24|uint32(r[1])<<16|uint32(r[2])<<8) >> 8
			c := int32(uint32(r[3])<<24|uint32(r[4])<<16|uint32(r[5])<<8) >> 8
			if !near(float64(p), -0x01d012, 1) || !near(float64(c), 0x0269a6, 1) {
				t.Errorf("raw pressure %d and temperature %d, want %d and %d", p, c, -0x01d012, 0x0269a6)
			}
		}},
}
