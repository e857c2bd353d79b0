package sysfs_test

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/fieldgate/fieldgate/drivers/sysfs"
)

var decimal = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?$`)

// Decimal takes plain decimal numbers, as strconv reads them, and nothing
// else.
func FuzzDecimal(f *testing.F) {
	for _, text := range []string{"0", "-12375", "92.947000000", "+5", "0.000909", "-0.500000", "18446744073709551615",
		"0.12345678901234567890",
		"", "-", ".5", "5.", "1 2", "1e3", "0x10", "nan", "inf", "1.5 dB", "1.2.3", "--1", "9007199254740993"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, ok := sysfs.Decimal(text)
		if ok != decimal.Match(text) {
			t.Fatalf("%q: read %v, %v", text, v, ok)
		}
		if want, err := strconv.ParseFloat(string(text), 64); ok && (err != nil || v != want) {
			t.Errorf("%q: read %v, want %v", text, v, want)
		}
	})
}

func TestDecimalDoesNotAllocate(t *testing.T) {
	text := []byte("92.947000000")
	if n := testing.AllocsPerRun(100, func() { _, _ = sysfs.Decimal(text) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
