package sim_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

// muxed gives a bus with a multiplexer, and one chip at 0x20 behind each of
// channels 0 and 7.
func muxed() *sim.Bus {
	b := sim.NewBus("sim-1")
	b.Mux(0x70).Attach(0, 0x20, &echo{})
	b.Mux(0x70).Attach(7, 0x20, &echo{})
	return b
}

func channel(t *testing.T, b i2c.Bus, name string) i2c.BusCloser {
	t.Helper()
	c, ok := drivers.ParseChannel(name)
	if !ok || c.String() != name {
		t.Fatalf("%q is read as %v, %v", name, c, ok)
	}
	return c.Behind(b)
}

func TestMuxRegister(t *testing.T) {
	b := muxed()
	if _, err := read(b, 0x20); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("a chip answers although no channel is selected: %v", err)
	}
	_ = b.Tx(0x70, []byte{0x80}, nil)
	if got, err := read(b, 0x70); got != 0x80 || err != nil {
		t.Errorf("control register %02x, %v", got, err)
	}
	if _, err := read(b, 0x20); err != nil {
		t.Error(err)
	}
	b.PowerCycle(0x70)
	if got, _ := read(b, 0x70); got != 0 {
		t.Errorf("control register %02x after a power cycle", got)
	}
}

// Two chips with one address are told apart, the channel is selected once for a
// sequence, and none is left open.
func TestBehindAMux(t *testing.T) {
	b := muxed()
	tape := drivertest.Record(b)
	first, last := channel(t, tape, "sim-1/0x70/0"), channel(t, tape, "sim-1/0x70/7")
	if first.String() != "sim-1/0x70/0" || first.SetSpeed(0) == nil || first.Close() != nil {
		t.Errorf("%v: name, speed or close", first)
	}
	for value, bus := range map[byte]i2c.Bus{1: first, 2: last} {
		if err := bus.Tx(0x20, []byte{value}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for value, bus := range map[byte]i2c.Bus{1: first, 2: last} {
		if got, err := read(bus, 0x20); got != value || err != nil {
			t.Errorf("read %d behind %v, %v, want %d", got, bus, err, value)
		}
	}
	tape.Transfers = nil
	err := drivers.Sequence(last, func(held i2c.Bus) error {
		_, err := read(held, 0x20)
		return errors.Join(err, drivers.Sequence(held, func(again i2c.Bus) error { return again.Tx(0x20, []byte{3}, nil) }))
	})
	if want := "70 80\n20  -> 0202\n20 03\n70 00\n"; err != nil || tape.Transcript() != want {
		t.Errorf("the bus saw\n%s%v, want\n%s", tape.Transcript(), err, want)
	}
}

// A device that is not there is absent; a multiplexer that is not there takes
// all its devices along; the error of the device wins.
func TestBehindAMuxThatFails(t *testing.T) {
	b := muxed()
	c := channel(t, b, "sim-1/0x70/7")
	if _, err := read(c, 0x21); !errors.Is(err, drivers.ErrAbsent) || errors.Is(err, drivers.ErrBus) {
		t.Errorf("nobody at 0x21: %v", err)
	}
	b.Inject(0x70, sim.Fault{Err: sim.ErrNACK})
	_, err := read(c, 0x20)
	if !errors.Is(err, drivers.ErrBus) || errors.Is(err, drivers.ErrAbsent) || !strings.Contains(err.Error(), "0x70/7") {
		t.Errorf("no multiplexer: %v", err)
	}
	b.Inject(0x70, sim.Fault{After: 1, Times: 1, Err: sim.ErrTimeout})
	if _, err := read(c, 0x20); err != nil {
		t.Errorf("one failure to leave the channel: %v", err)
	}
	if control, _ := read(b, 0x70); control != 0 {
		t.Errorf("control register %02x: the channel stays open", control)
	}
	b.Inject(0x70, sim.Fault{After: 1, Err: sim.ErrTimeout})
	if _, err := read(c, 0x20); !errors.Is(err, drivers.ErrBus) || !strings.Contains(err.Error(), "leave") {
		t.Errorf("the channel stays open: %v", err)
	}
}

// Many goroutines on many channels never read each other's chip.
func TestBehindAMuxTogether(t *testing.T) {
	b := muxed()
	var all sync.WaitGroup
	for value, name := range map[byte]string{1: "sim-1/0x70/0", 2: "sim-1/0x70/7"} {
		bus := channel(t, b, name)
		all.Go(func() {
			for range 500 {
				if err := bus.Tx(0x20, []byte{value}, nil); err != nil {
					t.Error(err)
				}
				if got, err := read(bus, 0x20); got != value || err != nil {
					t.Errorf("read %d behind %v, %v", got, bus, err)
				}
			}
		})
	}
	all.Wait()
}

func TestNamesThatAreNoChannels(t *testing.T) {
	for _, name := range []string{"i2c-1", "i2c-1/0x70", "i2c-1/0x78/3", "i2c-1/0x70/8", "i2c-1/70/3", "/0x70/3", "i2c-1/0x70/3/0x71/2"} {
		if c, ok := drivers.ParseChannel(name); ok {
			t.Errorf("%q is read as %v", name, c)
		}
	}
}
