package judges

import (
	"bufio"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"gobot.io/x/gobot/v2/drivers/i2c"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/devices/v3/mcp23xxx"
	"periph.io/x/devices/v3/pcf857x"
	"tinygo.org/x/drivers/mcp23017"
)

// patterns are levels of 16 pins: each alone high, each alone low, and others.
func patterns() []uint16 {
	all := []uint16{0, 0xffff, 0x9635, 0x69ca, 0x00ff, 0x5555}
	for i := range 16 {
		all = append(all, 1<<i, ^(uint16(1) << i))
	}
	return all
}

// pins sets the levels around the chip, and compares with them what ours reads
// and what the foreign driver does, pin by pin.
func (s *subject) pins(foreign func(i int) (bool, error)) {
	s.t.Helper()
	for _, p := range patterns() {
		for i, q := range s.driver.Quantities {
			s.set(q.Name, float64(p>>i&1))
		}
		ours := s.visit()
		for i, q := range s.driver.Quantities {
			want := p>>i&1 != 0
			got, err := foreign(i)
			if v := ours[q.Name]; err != nil || got != want || v.Value != float64(p>>i&1) || v.Doubt != "" {
				s.t.Errorf("levels %04x, %s: ours reads %+v, the foreign driver %v, %v", p, q.Name, v, got, err)
			}
		}
	}
}

var expanderProofs = []proof{
	{chip: "MCP23017", driver: "mcp23017", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "mcp23017", nil)
		d, err := mcp23017.NewI2C(s.bus, 0x20)
		if err != nil {
			t.Fatal(err)
		}
		s.pins(func(i int) (bool, error) { return d.Pin(i).Get() })
		// With the polarity of the chip, which ours sets back.
		modes := make([]mcp23017.PinMode, 16)
		for i := range modes {
			modes[i] = mcp23017.Input | mcp23017.Pullup | mcp23017.Invert
		}
		for i := range modes {
			s.visit()
			if err := d.SetModes(modes); err != nil {
				t.Fatal(err)
			}
			high, err := d.Pin(i).Get()
			if q := s.driver.Quantities[i].Name; err != nil || high == (s.visit()[q].Value == 1) {
				t.Errorf("%s: inverted it is %v, %v, as ours reads it", q, high, err)
			}
		}
	}},
	{chip: "MCP23017", driver: "mcp23017", judge: "A", by: periph, try: func(t *testing.T) {
		s := newSubject(t, "mcp23017", nil)
		d, err := mcp23xxx.NewI2C(s.bus, mcp23xxx.MCP23017, 0x20)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Close() }()
		s.pins(func(i int) (bool, error) { return bool(d.Pins[i/8][i%8].Read()), nil })
		// What it pulls up is pulled up: the settings of both are at the same places.
		for i := range 16 {
			if err := d.Pins[i/8][i%8].In(gpio.PullUp, gpio.NoEdge); err != nil {
				t.Fatal(err)
			}
			var r [2]byte
			if err := s.bus.Tx(0x20, []byte{0x0c}, r[:]); err != nil || r[i/8]>>(i%8) != 1 {
				t.Errorf("pin %d: pull-ups are %x, %v", i, r, err)
			}
		}
	}},
	{chip: "MCP23017", driver: "mcp23017", judge: "A", by: gobot, try: func(t *testing.T) {
		s := newSubject(t, "mcp23017", nil)
		// Its maker starts a goroutine that nobody can end; all that is missing here is IOCON = 0 at the start.
		d := &i2c.MCP23017Driver{Driver: i2c.NewDriver(gobotBus{s.bus}, "MCP23017", 0x20)}
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		s.pins(func(i int) (bool, error) {
			v, err := d.ReadGPIO(uint8(i%8), "AB"[i/8:i/8+1])
			return v == 1, err
		})
	}},
	{chip: "MCP23017", driver: "mcp23017", judge: "B", by: "sigrok-dumps mcp23017_counter_init_ab_write_read.sr, 83 readings of both ports",
		try: func(t *testing.T) {
			s := newSubject(t, "mcp23017", nil)
			readings := 0
			for _, c := range captured(t, "testdata/mcp23017-counter.transcript") {
				r := make([]byte, len(c.r))
				if err := s.bus.Tx(0x20, c.w, r); err != nil || string(r) != string(c.r) {
					t.Errorf("%x is answered with %x, by the real chip with %x (%v)", c.w, r, c.r, err)
				}
				if len(c.r) == 0 {
					continue
				}
				readings++
				for i, q := range s.driver.Quantities {
					// The pins are outputs there, so ours says the level, and that it doubts it.
					if got := s.visit()[q.Name]; got.Value != float64(c.r[i/8]>>(i%8)&1) || got.Doubt == "" {
						t.Errorf("%x: ours reads %+v", c.r, got)
					}
				}
			}
			if readings != 83 {
				t.Errorf("%d readings", readings)
			}
		}},
	{chip: "PCF8574", driver: "pcf8574", judge: "A", by: periph, try: func(t *testing.T) {
		s := newSubject(t, "pcf8574", nil)
		d, err := pcf857x.New(s.bus, 0x20, pcf857x.PCF8574)
		if err != nil {
			t.Fatal(err)
		}
		s.pins(func(i int) (bool, error) { return bool(d.Pins[i].Read()), nil })
	}},
	{chip: "PCF8574", driver: "pcf8574", judge: "A", by: gobot,
		dispute: "its driver is for the PCA9501, which it says has the same port", try: func(t *testing.T) {
			s := newSubject(t, "pcf8574", nil)
			d := i2c.NewPCA9501Driver(gobotBus{s.bus}, i2c.WithAddress(0x20))
			if err := d.Start(); err != nil {
				t.Fatal(err)
			}
			s.pins(func(i int) (bool, error) {
				v, err := d.ReadGPIO(uint8(i))
				return v == 1, err
			})
		}},
}

// A transfer is what a real chip was asked, and what it answered.
type transfer struct{ w, r []byte }

// captured reads a transcript of one chip.
func captured(t *testing.T, file string) (all []transfer) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		written, read, _ := strings.Cut(line, " -> ")
		_, written, _ = strings.Cut(written, " ")
		w, err1 := hex.DecodeString(written)
		r, err2 := hex.DecodeString(read)
		if err1 != nil || err2 != nil {
			t.Fatalf("%q: %v, %v", line, err1, err2)
		}
		all = append(all, transfer{w, r})
	}
	return all
}
