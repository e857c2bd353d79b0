package sim_test

import (
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

var _ i2c.BusCloser = (*sim.Bus)(nil)

// echo is a chip that answers with what was written last.
type echo struct{ last byte }

func (e *echo) Reset() { e.last = 0xee }
func (e *echo) Tx(w, r []byte) error {
	if len(w) > 0 {
		e.last = w[0]
	}
	for i := range r {
		r[i] = e.last
	}
	return nil
}

func newEcho() *sim.Bus {
	b := sim.NewBus("sim-1")
	b.Attach(0x20, &echo{})
	return b
}

func read(b i2c.Bus, addr uint16) (byte, error) {
	r := []byte{0xff, 0xff}
	err := b.Tx(addr, nil, r)
	return r[1], err
}

func TestOnlyChipsAnswer(t *testing.T) {
	b := newEcho()
	if err := b.Tx(0x20, []byte{7}, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := read(b, 0x20); got != 7 || err != nil {
		t.Errorf("read = %#x, %v, want 7", got, err)
	}
	if _, err := read(b, 0x21); !errors.Is(err, drivers.ErrAbsent) || errors.Is(err, drivers.ErrBus) {
		t.Errorf("nobody at 0x21, but error = %v", err)
	}
	b.PowerCycle(0x20)
	if got, _ := read(b, 0x20); got != 0xee {
		t.Errorf("after a power cycle read = %#x, want the reset state", got)
	}
	b.PowerCycle(0x21) // nobody there to reset
	b.Detach(0x20)
	if _, err := read(b, 0x20); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("detached, but error = %v", err)
	}
}

func TestFaultsStrikeWhenTold(t *testing.T) {
	b := newEcho()
	b.Inject(0x20, sim.Fault{After: 2, Times: 2, Err: sim.ErrNACK})
	for i, want := range []error{nil, nil, sim.ErrNACK, sim.ErrNACK, nil} {
		if _, err := read(b, 0x20); !errors.Is(err, want) {
			t.Errorf("transfer %d: error = %v, want %v", i, err, want)
		}
	}
	b.Inject(0x20, sim.Fault{Err: sim.ErrTimeout})
	for range 3 {
		if _, err := read(b, 0x20); !errors.Is(err, sim.ErrTimeout) {
			t.Errorf("not mended, but error = %v", err)
		}
	}
	b.Mend(0x20)
	if _, err := read(b, 0x20); err != nil {
		t.Errorf("mended, but error = %v", err)
	}
}

func TestShortReadLeavesTheRestAsItWas(t *testing.T) {
	b := newEcho()
	b.Inject(0x20, sim.Fault{Short: true})
	r := []byte{0xaa, 0xaa}
	err := b.Tx(0x20, []byte{7}, r)
	if !errors.Is(err, io.ErrUnexpectedEOF) || r[0] != 7 || r[1] != 0xaa {
		t.Errorf("short read gave % x, %v", r, err)
	}
}

func TestBusGoneAndBack(t *testing.T) {
	b := newEcho()
	b.SetGone(true)
	if _, err := read(b, 0x20); !errors.Is(err, drivers.ErrBus) || errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("bus gone, but error = %v", err)
	}
	b.SetGone(false)
	if _, err := read(b, 0x20); err != nil {
		t.Errorf("bus back, but error = %v", err)
	}
}

func TestDelayHoldsUpTheWholeBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newEcho()
		b.Attach(0x21, &echo{})
		b.Inject(0x20, sim.Fault{Times: 1, Delay: time.Second, Err: sim.ErrTimeout})
		start := time.Now()
		slow := make(chan error)
		go func() {
			_, err := read(b, 0x20)
			slow <- err
		}()
		synctest.Wait()
		if _, err := read(b, 0x21); err != nil || time.Since(start) != time.Second {
			t.Errorf("the other chip answered after %v, %v", time.Since(start), err)
		}
		if err := <-slow; !errors.Is(err, sim.ErrTimeout) {
			t.Errorf("delayed transfer: %v", err)
		}
	})
}

func TestSequenceKeepsOthersOff(t *testing.T) {
	b := newEcho()
	var wg sync.WaitGroup
	for id := range byte(8) {
		wg.Go(func() {
			for range 200 {
				err := drivers.Sequence(b, func(held i2c.Bus) error { return writeAndRead(held, id) })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// writeAndRead fails if another's transfer falls between its own two. It
// holds the bus once more inside, which must not stop it.
func writeAndRead(bus i2c.Bus, id byte) error {
	if err := bus.Tx(0x20, []byte{id}, nil); err != nil {
		return err
	}
	return drivers.Sequence(bus, func(held i2c.Bus) error {
		got, err := read(held, 0x20)
		if got != id {
			return errors.New("another transfer fell between")
		}
		return err
	})
}
