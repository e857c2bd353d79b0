package bmx280

import (
	"encoding/binary"
	"errors"
)

// A calibration is what the factory measured of this one chip (DS002 table 16,
// DS001 table 17).
type calibration struct {
	t1             uint16
	t2, t3         int16
	p1             uint16
	p2, p3, p4, p5 int16
	p6, p7, p8, p9 int16
	h1, h3         uint8
	h2, h4, h5     int16
	h6             int8
}

// parse reads it from registers 0x88 to 0xa1 and 0xe1 to 0xe7.
func parse(tp [26]byte, h [7]byte) calibration {
	u := func(i int) uint16 { return binary.LittleEndian.Uint16(tp[i:]) }
	s := func(i int) int16 { return int16(u(i)) }
	return calibration{
		t1: u(0), t2: s(2), t3: s(4),
		p1: u(6), p2: s(8), p3: s(10), p4: s(12), p5: s(14), p6: s(16), p7: s(18), p8: s(20), p9: s(22),
		h1: tp[25], h2: int16(binary.LittleEndian.Uint16(h[:])), h3: h[2],
		// Two numbers of 12 bits share the byte 0xe5; both have a sign.
		h4: int16(int8(h[3]))<<4 | int16(h[4]&0x0f),
		h5: int16(int8(h[5]))<<4 | int16(h[4]>>4),
		h6: int8(h[6]),
	}
}

// check fails for a calibration that no chip has: nothing or all ones was read.
func (c calibration) check(humidity bool) error {
	switch {
	case c.t1 == 0, c.t1 == 0xffff, c.p1 == 0, c.p1 == 0xffff, c.t2 == 0, c.t2 == -1:
		return errors.New("it is empty: the chip or the bus is faulty")
	case humidity && (c.h2 == 0 || c.h2 == -1):
		return errors.New("that of humidity is empty: the chip or the bus is faulty")
	}
	return nil
}

// temperature gives Cel, and the fine temperature that the others need (DS001
// 8.1, DS002 8.1; double precision).
func (c calibration) temperature(raw int32) (cel, fine float64) {
	x := float64(raw)/16384 - float64(c.t1)/1024
	y := float64(raw)/131072 - float64(c.t1)/8192
	fine = x*float64(c.t2) + y*y*float64(c.t3)
	return fine / 5120, fine
}

// pressure gives Pa (DS001 8.1, DS002 8.1).
func (c calibration) pressure(raw int32, fine float64) float64 {
	x := fine/2 - 64000
	y := x*x*float64(c.p6)/32768 + x*float64(c.p5)*2
	y = y/4 + float64(c.p4)*65536
	x = (float64(c.p3)*x*x/524288 + float64(c.p2)*x) / 524288
	x = (1 + x/32768) * float64(c.p1)
	if x == 0 {
		return 0 // outside of any range; the caller doubts it
	}
	p := (1048576 - float64(raw) - y/4096) * 6250 / x
	return p + (float64(c.p9)*p*p/2147483648+p*float64(c.p8)/32768+float64(c.p7))/16
}

// humidity gives %RH (DS002 8.1). Near the ends it may lie a little outside of
// 0 to 100, where the page cuts it off.
func (c calibration) humidity(raw int32, fine float64) float64 {
	x := fine - 76800
	offset := float64(c.h4)*64 + float64(c.h5)/16384*x
	slope := float64(c.h2) / 65536 * (1 + float64(c.h6)/67108864*x*(1+float64(c.h3)/67108864*x))
	h := (float64(raw) - offset) * slope
	return h * (1 - float64(c.h1)*h/524288)
}
