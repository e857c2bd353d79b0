package drivertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

// checkValues: what a healthy device gives, in the first visit after it was
// powered up and in later ones.
func checkValues(c Case) error {
	b := c.set()
	s, err := b.open()
	if err != nil {
		return fmt.Errorf("open a device just powered up: %w", err)
	}
	for range 3 {
		if err := b.wantGood(s); err != nil {
			return err
		}
	}
	return s.Halt()
}

// checkHalt: twice, and the device can be opened again.
func checkHalt(c Case) error {
	b := c.set()
	for range 2 {
		s, err := b.openWarm()
		if err != nil {
			return err
		}
		if err := errors.Join(s.Halt(), s.Halt()); err != nil {
			return fmt.Errorf("halt twice: %w", err)
		}
	}
	return nil
}

var errBroken = errors.New("broken by the suite")

// checkFailedVisit: the cause is kept, no value is given, Halt after it
// works, and so does a device that comes back.
func checkFailedVisit(c Case) error {
	b := c.set()
	broken := func(err error) { b.Break(b.target, err) }
	if c.Break == nil && b.bus == nil {
		return nil
	}
	if c.Break == nil {
		broken = func(err error) { b.bus.Inject(c.Driver.Address, sim.Fault{Err: err}) }
	}
	s, err := b.openWarm()
	if err != nil {
		return err
	}
	broken(errBroken)
	if vs, err := b.read(s); !errors.Is(err, errBroken) || len(vs) > 0 {
		return fmt.Errorf("failed visit gave %v and %v, want nothing and an error that wraps the cause", vs, err)
	}
	broken(nil)
	if err := b.wantGood(s); err != nil {
		return fmt.Errorf("after a failed visit: %w", err)
	}
	broken(errBroken)
	_, _ = b.read(s)
	if err := errors.Join(s.Halt(), s.Halt()); err != nil {
		return fmt.Errorf("halt after a failed visit: %w", err)
	}
	broken(nil)
	_, err = b.openWarm()
	return err
}

// checkContextDone: nothing begins once the context is done.
func checkContextDone(c Case) error {
	b := c.set()
	s, err := b.openWarm()
	if err != nil {
		return err
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	before := b.transfers()
	if two, ok := s.(drivers.Starter); ok {
		if _, err := two.Start(done); !errors.Is(err, context.Canceled) {
			return fmt.Errorf("start with a context that is done: %v", err)
		}
	}
	if vs, err := s.Read(done); !errors.Is(err, context.Canceled) || len(vs) > 0 {
		return fmt.Errorf("read with a context that is done gave %v, %v", vs, err)
	}
	if _, err := c.Driver.Open(done, b.target); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("open with a context that is done: %v", err)
	}
	if n := b.transfers() - before; n > 0 {
		return fmt.Errorf("%d transfers although the context was done", n)
	}
	return s.Halt()
}

func (b *bench) transfers() int {
	if b.tape == nil {
		return 0
	}
	return len(b.tape.Transfers)
}

// checkAbsentAtOpen: nobody at the address is ErrAbsent, and a device that
// comes later is opened.
func checkAbsentAtOpen(c Case) error {
	b := c.set()
	b.bus.Detach(c.Driver.Address)
	if _, err := b.open(); !errors.Is(err, drivers.ErrAbsent) {
		return fmt.Errorf("open with nobody at the address: %v, want ErrAbsent", err)
	}
	b.bus.SetGone(true)
	if _, err := b.open(); !errors.Is(err, drivers.ErrBus) {
		return fmt.Errorf("open without a bus: %v, want ErrBus", err)
	}
	b.bus.SetGone(false)
	b.bus.Attach(c.Driver.Address, b.chip)
	_, err := b.openWarm()
	return err
}

// checkFaultAtEachTransfer: each transfer of opening and of a visit fails in
// turn, in each way: as if it never was, or after the chip took it.
func checkFaultAtEachTransfer(c Case) error {
	faults := []sim.Fault{
		{Err: sim.ErrGone}, {Err: sim.ErrTimeout}, {Err: sim.ErrTimeout, Applied: true}, {Short: true},
	}
	if c.Driver.Bus == drivers.BusI2C {
		faults = append(faults, sim.Fault{Err: sim.ErrNACK})
	}
	for _, fault := range faults {
		if err := failEachTransfer(c, fault); err != nil {
			return err
		}
	}
	return nil
}

func failEachTransfer(c Case, fault sim.Fault) error {
	b := c.set()
	s, err := b.openWarm()
	if err != nil {
		return err
	}
	mark := b.transfers()
	if err := b.wantGood(s); err != nil {
		return err
	}
	for n := range b.transfers() - mark {
		if err := failTransfer(b, s, n, fault); err != nil {
			return fmt.Errorf("transfer %d of a visit: %w", n, err)
		}
	}
	for n := range mark {
		b := c.set()
		fault.After = n
		b.bus.Inject(c.Driver.Address, fault)
		time.Sleep(10 * time.Second)
		if s, err = b.open(); err == nil {
			_, err = b.read(s)
		}
		if err := wantCause(err, fault); err != nil {
			return fmt.Errorf("transfer %d after power-up: %w", n, err)
		}
	}
	return nil
}

// failTransfer makes the nth transfer of one visit fail.
func failTransfer(b *bench, s drivers.Sensor, n int, fault sim.Fault) error {
	fault.After = n
	b.bus.Inject(b.Driver.Address, fault)
	vs, err := b.read(s)
	b.bus.Mend(b.Driver.Address)
	if len(vs) > 0 {
		return fmt.Errorf("gave %v although it failed with %v", vs, err)
	}
	if err := wantCause(err, fault); err != nil {
		return err
	}
	return b.wantGood(s)
}

// wantCause fails unless err wraps what the fault was, and only that.
func wantCause(err error, fault sim.Fault) error {
	want := fault.Err
	if fault.Short {
		want = io.ErrUnexpectedEOF
	}
	if !errors.Is(err, want) {
		return fmt.Errorf("error is %v, want one that wraps %v", err, want)
	}
	for _, class := range []error{drivers.ErrAbsent, drivers.ErrBus} {
		if errors.Is(err, class) != errors.Is(want, class) {
			return fmt.Errorf("error %v: whether it is %q is not as on the bus", err, class)
		}
	}
	return nil
}

// checkLateAnswer: a bus that is busy beyond the deadline ends the visit with
// the transfer that it holds up, and with the context's error.
func checkLateAnswer(c Case) error {
	b := c.set()
	s, err := b.openWarm()
	if err != nil {
		return err
	}
	mark := b.transfers()
	if err := b.wantGood(s); err != nil {
		return err
	}
	for n := range b.transfers() - mark {
		b.bus.Inject(c.Driver.Address, sim.Fault{After: n, Times: 1, Delay: c.Driver.Timeout + time.Second})
		before, start := b.transfers(), time.Now()
		vs, err := b.read(s)
		if !errors.Is(err, context.DeadlineExceeded) || len(vs) > 0 {
			return fmt.Errorf("late answer in transfer %d: gave %v, %v", n, vs, err)
		}
		if got := b.transfers() - before; got != n+1 {
			return fmt.Errorf("%d transfers begun, want %d: none after the deadline", got, n+1)
		}
		if took := time.Since(start) - b.waited; took > 2*c.Driver.Timeout+time.Second {
			return fmt.Errorf("returned only after %v", took)
		}
		if err := b.wantGood(s); err != nil {
			return fmt.Errorf("after a late answer: %w", err)
		}
	}
	return nil
}

// checkPowerLoss: a device that forgot its settings is told them again by the
// next Open, and the first value after it is a right one.
func checkPowerLoss(c Case) error {
	b := c.set()
	s, err := b.open()
	if err != nil {
		return err
	}
	first := b.tape.Transfers
	if err := b.wantGood(s); err != nil {
		return err
	}
	b.bus.PowerCycle(c.Driver.Address)
	if err := s.Halt(); err != nil {
		return fmt.Errorf("halt: %w", err)
	}
	mark := b.transfers()
	if s, err = b.open(); err != nil {
		return fmt.Errorf("open after a power loss: %w", err)
	}
	again := b.tape.Transfers[mark:]
	if !reflect.DeepEqual(first, again) {
		return fmt.Errorf("after a power loss the bus saw %v, want as the first time: %v", again, first)
	}
	return b.wantGood(s)
}
