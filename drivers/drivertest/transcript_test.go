package drivertest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/lm75"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

const script = `48 01 -> 00
48 0160
49 00 -> absent
48 00 -> 1540
48 00 -> error
48 00 -> bus
`

// perform does on a bus what script says.
func perform(tx func(addr uint16, w, r []byte) error) (errs []error) {
	var two [2]byte
	errs = append(errs, tx(0x48, []byte{1}, two[:1]), tx(0x48, []byte{1, 0x60}, nil))
	for _, addr := range []uint16{0x49, 0x48, 0x48, 0x48} {
		errs = append(errs, tx(addr, []byte{0}, two[:]))
	}
	return errs
}

func TestRecord(t *testing.T) {
	bus := sim.NewBus("sim-1")
	bus.Attach(0x48, lm75.Driver().Simulate(drivers.Simulation{
		Clock: func() time.Duration { return 0 }, Curves: map[string]drivers.Curve{"temperature": sim.Steady(21.25)},
		Options: map[string]any{"model": "tmp105"},
	}))
	tape := drivertest.Record(bus)
	n := 0
	perform(func(addr uint16, w, r []byte) error {
		n++
		bus.SetGone(n == 6)
		if n == 5 {
			bus.Inject(0x48, sim.Fault{Times: 1, Err: sim.ErrTimeout})
		}
		return tape.Tx(addr, w, r)
	})
	// The clock stands still, so the chip never measures.
	want := "48 01 -> 00\n48 0160\n49 00 -> absent\n48 00 -> 0000\n48 00 -> error\n48 00 -> bus\n"
	if got := tape.Transcript(); got != want {
		t.Errorf("recorded\n%swant\n%s", got, want)
	}
}

func transcript(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.transcript")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReplay(t *testing.T) {
	bus := drivertest.Replay(t, transcript(t, "# what script says\n\n"+script))
	errs := perform(bus.Tx)
	for i, want := range []error{nil, nil, drivers.ErrAbsent, nil, errs[4], drivers.ErrBus} {
		if !errors.Is(errs[i], want) || i == 4 && errs[4] == nil {
			t.Errorf("transfer %d: %v, want %v", i, errs[i], want)
		}
	}
	var r [2]byte
	again := drivertest.Replay(t, transcript(t, "48 00 -> 15 40"))
	if err := again.Tx(0x48, []byte{0}, r[:]); err != nil || r != [2]byte{0x15, 0x40} {
		t.Errorf("read % x, %v", r, err)
	}
}

// witness is a test that takes note of its failure.
type witness struct {
	testing.TB
	failed  bool
	cleanup func()
}

func (w *witness) Helper()               {}
func (w *witness) Failed() bool          { return w.failed }
func (w *witness) Cleanup(f func())      { w.cleanup = f }
func (w *witness) Errorf(string, ...any) { w.failed = true }
func (w *witness) Fatalf(f string, a ...any) {
	w.failed = true
	panic(fmt.Sprintf(f, a...)) // as FailNow, does not return
}

func TestReplayFailsOnAnyDifference(t *testing.T) {
	for name, do := range map[string]func(tx func(uint16, []byte, []byte) error){
		"other address":   func(tx func(uint16, []byte, []byte) error) { _ = tx(0x49, []byte{1}, make([]byte, 1)) },
		"other bytes":     func(tx func(uint16, []byte, []byte) error) { _ = tx(0x48, []byte{2}, make([]byte, 1)) },
		"other length":    func(tx func(uint16, []byte, []byte) error) { _ = tx(0x48, []byte{1}, make([]byte, 2)) },
		"stops too early": func(func(uint16, []byte, []byte) error) {},
		"goes on": func(tx func(uint16, []byte, []byte) error) {
			_ = tx(0x48, []byte{1}, make([]byte, 1))
			_ = tx(0x48, []byte{1}, make([]byte, 1))
		},
	} {
		w := &witness{TB: t}
		bus := drivertest.Replay(w, transcript(t, "48 01 -> 00"))
		func() {
			defer func() { _ = recover() }()
			do(bus.Tx)
		}()
		w.cleanup()
		if !w.failed {
			t.Errorf("%s: nobody noticed", name)
		}
	}
	for _, line := range []string{"zz 00", "48 0", "48 00 -> xx"} {
		w := &witness{TB: t}
		func() {
			defer func() { _ = recover() }()
			drivertest.Replay(w, transcript(t, line))
		}()
		if !w.failed {
			t.Errorf("%q passed for a transcript line", line)
		}
	}
}
