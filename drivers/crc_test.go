package drivers_test

import (
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
)

// The examples that makers print: Sensirion SHT3x, SCD4x, SGP40 datasheets
// (CRC of a word), and the check value of the catalogue for CRC-8/SMBUS.
func TestCRC8OfDatasheets(t *testing.T) {
	for _, c := range []struct {
		bytes             string
		polynomial, start byte
		want              byte
	}{
		{"\xbe\xef", 0x31, 0xff, 0x92},
		{"\x01\xf4", 0x31, 0xff, 0x33},
		{"\x66\x67", 0x31, 0xff, 0xa2},
		{"\x5e\xb9", 0x31, 0xff, 0x3c},
		{"\x80\x00", 0x31, 0xff, 0xa2},
		{"123456789", 0x07, 0x00, 0xf4},
	} {
		if got := drivers.CRC8([]byte(c.bytes), c.polynomial, c.start); got != c.want {
			t.Errorf("CRC of %x is %#02x, want %#02x", c.bytes, got, c.want)
		}
	}
}
