package w1

import (
	"bytes"
	"errors"

	"github.com/fieldgate/fieldgate/drivers/sysfs"
)

var (
	errForm = errors.New("this is not what the kernel writes of a thermometer")
	errCRC  = errors.New("the checksum of the chip's bytes is wrong: the line is disturbed")
)

// parse reads what the kernel writes of a thermometer
// (Documentation/w1/slaves/w1_therm.rst of Linux):
//
//	72 01 4b 46 7f ff 0e 10 57 : crc=57 YES
//	72 01 4b 46 7f ff 0e 10 57 t=23125
//
// The second line has the bytes of the last answer that was good: after a bad
// one they are of an earlier time.
func parse(text []byte) (pad [9]byte, milli float64, err error) {
	first, second, ok := bytes.Cut(text, []byte("\n"))
	if !ok {
		return pad, 0, errForm
	}
	pad, verdict, ok := scratchpad(first)
	if !ok || !bytes.HasPrefix(verdict, []byte(": crc=")) {
		return pad, 0, errForm
	}
	again, value, ok := scratchpad(second)
	value, is := bytes.CutPrefix(value, []byte("t="))
	milli, number := sysfs.Decimal(value)
	switch {
	case !ok || !is || !number:
		return pad, 0, errForm
	case !bytes.HasSuffix(verdict, []byte(" YES")) || crc8(pad[:8]) != pad[8] || again != pad:
		return pad, 0, errCRC
	}
	return pad, milli, nil
}

// scratchpad reads nine bytes in hexadecimal, each with a space behind it.
func scratchpad(line []byte) (pad [9]byte, rest []byte, ok bool) {
	const each = 3
	if len(line) < each*len(pad) {
		return pad, nil, false
	}
	for i := range pad {
		high, ok1 := digit(line[each*i])
		low, ok2 := digit(line[each*i+1])
		if !ok1 || !ok2 || line[each*i+2] != ' ' {
			return pad, nil, false
		}
		pad[i] = high<<4 | low
	}
	return pad, line[each*len(pad):], true
}

func digit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// crc8 is the checksum of 1-Wire: x^8 + x^5 + x^4 + 1, the lowest bit first
// (Maxim application note 27).
func crc8(b []byte) byte {
	crc := byte(0)
	for _, x := range b {
		crc ^= x
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low != 0 {
				crc ^= 0x8c
			}
		}
	}
	return crc
}
