package builtin_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

// alike are pairs of a driver and a chip that no byte tells apart, with the
// reason.
var alike = map[[2]string]string{
	{"ads1115", "ads1015"}:  sameRegisters,
	{"pcf8574", "mcp23017"}: anyByte, {"pcf8574", "bh1750"}: anyByte, {"pcf8574", "aht20"}: anyByte,
	{"bh1750", "mcp23017"}:  "a BH1750 in the dark answers 0, and every other number is an illuminance, too",
	{"mcp3008", "max31865"}: oneBit,
	{"mcp3008", "max31855"}: oneBit,
}

const (
	sameRegisters = "both have the same registers, the voltage left-justified, and no identity; the value is right"
	anyByte       = "eight levels can be any byte, and a question by writing would move outputs"
	oneBit        = "one bit of an answer is always 0, and the others can be anything"
)

// told says of a pair that it is listed. Two rows of one chip, which differ in
// its inputs, count as one.
func told(d, other drivers.Driver) bool {
	first, _, _ := strings.Cut(d.Name, "-")
	second, _, _ := strings.Cut(other.Name, "-")
	return first == second || alike[[2]string{first, second}] != ""
}

// A person writes the name of another driver than that of the chip: no good
// value comes of it, unless nothing in the bytes can tell.
func TestMistakenDriver(t *testing.T) {
	tried := 0
	seen := map[[2]string]bool{}
	for _, d := range builtin.Drivers() {
		for _, other := range builtin.Drivers() {
			if d.Name == other.Name || d.Bus != other.Bus || d.Open == nil || other.Simulate == nil {
				continue
			}
			for _, addr := range shared(d, other) {
				tried++
				var given string
				synctest.Test(t, func(*testing.T) { given = mistake(d, other, addr) })
				seen[[2]string{d.Name, other.Name}] = seen[[2]string{d.Name, other.Name}] || given != ""
				if given != "" && !told(d, other) {
					t.Errorf("driver %s on the chip of %s at 0x%02x gave %s as good", d.Name, other.Name, addr, given)
				}
			}
		}
	}
	for pair, why := range alike {
		if !seen[pair] {
			t.Errorf("driver %s tells the chip of %s: it need not be listed (%s)", pair[0], pair[1], why)
		}
	}
	t.Logf("%d pairs of a driver and a chip", tried)
}

// shared gives the addresses that chips of both can have; on SPI there is one.
func shared(d, other drivers.Driver) (both []uint16) {
	if d.Bus == drivers.BusSPI {
		return []uint16{0}
	}
	for _, addr := range d.Addresses {
		if slices.Contains(other.Addresses, addr) {
			both = append(both, addr)
		}
	}
	return both
}

// mistake opens a driver on a chip of another, and gives the first good value
// of three visits; "": there is none.
func mistake(d, other drivers.Driver, addr uint16) string {
	bus := sim.NewBus("sim-1")
	clock := sim.SinceStart()
	bus.Attach(addr, other.Simulate(drivers.Simulation{Clock: clock, Curves: sim.Usual(other.Quantities), Address: addr,
		Options: other.Defaults()}))
	target := drivers.Target{Options: d.Defaults()}
	if d.Bus == drivers.BusI2C {
		target.I2C, target.Address = bus, addr
	} else {
		target.SPI, _ = sim.NewSPI(bus).Connect(d.SPI.Speed, d.SPI.Mode, 8)
	}
	time.Sleep(10 * time.Second)
	for range 3 {
		if v := visitMistaken(d, target); v != "" {
			return v
		}
	}
	return ""
}

func visitMistaken(d drivers.Driver, target drivers.Target) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := d.Open(ctx, target)
	if err != nil {
		return ""
	}
	defer s.Halt()
	for range 3 {
		if two, ok := s.(drivers.Starter); ok {
			wait, err := two.Start(ctx)
			if err != nil {
				continue
			}
			time.Sleep(wait)
		}
		values, err := s.Read(ctx)
		for _, v := range values {
			if err == nil && v.Doubt == "" {
				return fmt.Sprintf("%s %v", v.Quantity, v.Value)
			}
		}
		time.Sleep(d.Interval)
	}
	return ""
}
