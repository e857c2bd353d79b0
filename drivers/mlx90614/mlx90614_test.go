package mlx90614

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{Driver: Driver()})
	for temp, want := range map[float64]float64{-69.99: -69.99, -0.012: -0.01, 0.012: 0.01, 99.992: 99.99, 382.015: 382.01} {
		drivertest.Run(t, drivertest.Case{Driver: Driver(), Values: map[string]float64{"temperature": temp, "ambient": -39.99},
			Want: map[string]float64{"temperature": want, "ambient": -39.99}})
	}
}

// The checksums that the datasheet and the application note print: a reading of
// RAM, a write of EEPROM, and the command to sleep.
func TestChecksumsOfTheDatasheet(t *testing.T) {
	for frame, want := range map[string]byte{
		"\xb4\x07\xb5\xd2\x3a": 0x30, "\xb4\x22\x07\xc8": 0x48, "\xb4\xff": 0xe8, "\x00\x2e\x00\x00": 0x6f, "\x00\x2e\x5a\x00": 0xe1,
	} {
		if got := checksum([]byte(frame)); got != want {
			t.Errorf("%x has %02x, want %02x", frame, got, want)
		}
	}
}

// words is a chip with these words.
type words map[byte]uint16

func (c words) Tx(w, r []byte) error {
	v := c[w[0]]
	frame := []byte{0xb4, w[0], 0xb5, byte(v), byte(v >> 8)}
	copy(r, append(frame[3:], checksum(frame)))
	return nil
}

func (c words) Reset() {}

func visit(t *testing.T, c drivers.Chip) (vs []drivers.Value, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := sim.NewBus("sim-1")
		b.Attach(0x5a, c)
		var s drivers.Sensor
		if s, err = open(t.Context(), drivers.Target{I2C: b, Address: 0x5a}); err == nil {
			vs, err = s.Read(t.Context())
		}
	})
	return vs, err
}

// The bounds that the application note prints (p. 14).
func TestWords(t *testing.T) {
	for _, c := range []struct {
		object, ambient uint16
		want            float64
		doubt           [2]bool
		bad             bool
	}{
		{0x27ad, 0x3a00, -70.01, [2]bool{}, false},
		{0x3ad2, 0x3a00, 28.01, [2]bool{}, false},
		{0x7ffe, 0x3a00, 382.17, [2]bool{}, false},
		{0x7fff, 0x3a00, 382.19, [2]bool{true, false}, false},
		{0x27ac, 0x3a00, -70.03, [2]bool{true, false}, false},
		{0x3ad2, 11657, 28.01, [2]bool{true, true}, false},
		{0x3ad2, 19908, 28.01, [2]bool{true, true}, false},
		{0xbad2, 0x3a00, 0, [2]bool{}, true},
		{0x3ad2, 0xba00, 0, [2]bool{}, true},
		{0, 0x3a00, 0, [2]bool{}, true},
		{0x3ad2, 0, 0, [2]bool{}, true},
	} {
		vs, err := visit(t, words{wordAddress: 0xbe5a, wordObject: c.object, wordAmbient: c.ambient})
		if (err != nil) != c.bad {
			t.Errorf("%+v: %v, %v", c, vs, err)
		}
		if err == nil && (math.Abs(vs[0].Value-c.want) > 1e-9 || (vs[0].Doubt != "") != c.doubt[0] || (vs[1].Doubt != "") != c.doubt[1]) {
			t.Errorf("%+v: %+v", c, vs)
		}
	}
}

// A chip that does not know its own address is another one.
func TestOtherChips(t *testing.T) {
	for _, own := range []uint16{0, 0xffff, 0xbe5b} {
		_, err := visit(t, words{wordAddress: own, wordObject: 0x3ad2, wordAmbient: 0x3a00})
		if err == nil || !strings.Contains(err.Error(), "another chip") {
			t.Errorf("address %04x: %v", own, err)
		}
	}
}

// A chip that was just powered is waited for, and its EEPROM never written.
func TestJustPowered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := sim.SinceStart()
		c := simulate(drivers.Simulation{Clock: clock, Powered: clock(), Address: 0x5a,
			Curves: map[string]drivers.Curve{"temperature": sim.Steady(30), "ambient": sim.Steady(20)}}).(*chip)
		if c.command = wordObject; c.word() != 0 {
			t.Errorf("the simulated chip says %04x at once", c.word())
		}
		b := sim.NewBus("sim-1")
		b.Attach(0x5a, c)
		s, err := open(t.Context(), drivers.Target{I2C: b, Address: 0x5a})
		if err != nil {
			t.Fatal(err)
		}
		vs, err := s.Read(t.Context())
		if err != nil || math.Abs(vs[0].Value-30) > 0.011 || c.written > 0 {
			t.Errorf("%v, %v, %d words written", vs, err, c.written)
		}
		c.Reset()
		if vs, err := s.Read(t.Context()); err == nil {
			t.Errorf("gave %v just after power-up", vs)
		}
	})
}
