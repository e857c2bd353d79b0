package sim_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestFaultsOfAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		fault sim.Fault
		want  string
		err   error
	}{
		"none":          {sim.Fault{}, "\x07\x07", nil},
		"flipped bit":   {sim.Fault{Garble: sim.FlipBit(9)}, "\x07\x47", nil},
		"… beyond":      {sim.Fault{Garble: sim.FlipBit(16)}, "\x87\x07", nil},
		"let go":        {sim.Fault{Garble: sim.OnesFrom(1)}, "\x07\xff", nil},
		"… beyond it":   {sim.Fault{Garble: sim.OnesFrom(5)}, "\x07\xff", nil},
		"half":          {sim.Fault{Short: true}, "\x07\x00", io.ErrUnexpectedEOF},
		"power loss":    {sim.Fault{PowerLoss: true}, "\xee\xee", nil},
		"nobody":        {sim.Fault{Err: sim.ErrNACK}, "\x00\x00", drivers.ErrAbsent},
		"lost answer":   {sim.Fault{Err: sim.ErrTimeout, Applied: true}, "\x00\x00", sim.ErrTimeout},
		"passes before": {sim.Fault{After: 1, Err: sim.ErrTimeout}, "\x07\x07", nil},
	} {
		b := newEcho()
		_ = b.Tx(0x20, []byte{7}, nil)
		b.Inject(0x20, c.fault)
		r := make([]byte, 2)
		if err := b.Tx(0x20, nil, r); !errors.Is(err, c.err) || string(r) != c.want {
			t.Errorf("%s: read % x, %v, want % x, %v", name, r, err, c.want, c.err)
		}
	}
}

// A transfer whose answer is lost was taken by the chip, or it was not.
func TestFailedTransferAppliedOrNot(t *testing.T) {
	for _, applied := range []bool{false, true} {
		b := newEcho()
		_ = b.Tx(0x20, []byte{7}, nil)
		b.Inject(0x20, sim.Fault{Times: 1, Err: sim.ErrTimeout, Applied: applied})
		if err := b.Tx(0x20, []byte{9}, nil); err != sim.ErrTimeout {
			t.Errorf("error = %v", err)
		}
		if got, _ := read(b, 0x20); (got == 9) != applied {
			t.Errorf("applied %v, but the chip has %d", applied, got)
		}
	}
}

func TestScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newEcho()
		_ = b.Tx(0x20, []byte{7}, nil)
		b.Play(sim.SinceStart(),
			sim.Event{At: time.Minute, For: time.Minute, Addr: 0x20, Fault: sim.Fault{Err: sim.ErrNACK}},
			sim.Event{At: 3 * time.Minute, For: time.Minute, Addr: 0x20, Fault: sim.Fault{Times: 1, PowerLoss: true}},
			sim.Event{At: 0, For: time.Hour, Addr: 0x21, Fault: sim.Fault{Err: sim.ErrTimeout}})
		for _, want := range []struct {
			value byte
			err   error
		}{{7, nil}, {0xff, sim.ErrNACK}, {7, nil}, {0xee, nil}, {0xee, nil}} {
			got, err := read(b, 0x20)
			if got != want.value || !errors.Is(err, want.err) {
				t.Errorf("read %02x, %v, want %02x, %v", got, err, want.value, want.err)
			}
			time.Sleep(time.Minute)
		}
		_ = b.Tx(0x20, []byte{7}, nil)
		if got, err := read(b, 0x20); got != 7 || err != nil {
			t.Errorf("the power failed more than once: %02x, %v", got, err)
		}
	})
}

func TestHungBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newEcho()
		b.SetHung(true)
		start := time.Now()
		if _, err := read(b, 0x20); err != sim.ErrTimeout || time.Since(start) < 100*time.Millisecond {
			t.Errorf("a hung bus gave %v after %v", err, time.Since(start))
		}
		b.SetHung(false)
		if _, err := read(b, 0x20); err != nil {
			t.Error(err)
		}
	})
}

func TestCurvesThatAreWrong(t *testing.T) {
	rising := func(at time.Duration) float64 { return at.Hours() }
	if v := sim.Drift(sim.Steady(20), 0.5)(4 * time.Hour); v != 22 {
		t.Errorf("drifted to %v", v)
	}
	stuck := sim.Stuck(rising, 2*time.Hour)
	if stuck(time.Hour) != 1 || stuck(5*time.Hour) != 2 {
		t.Errorf("stuck at %v", stuck(5*time.Hour))
	}
	noisy, seen := sim.Noise(sim.Steady(20), 1), map[float64]bool{}
	for at := range 100 {
		v := noisy(time.Duration(at) * time.Second)
		if v < 19 || v > 21 || v != noisy(time.Duration(at)*time.Second) {
			t.Errorf("noise at %v", v)
		}
		seen[v] = true
	}
	if len(seen) < 90 {
		t.Errorf("only %d values", len(seen))
	}
}
