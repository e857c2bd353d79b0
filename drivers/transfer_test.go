package drivers_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/fieldgate/fieldgate/drivers"
)

// plain is a bus that cannot be held, and takes its time.
type plain struct {
	took time.Duration
	err  error
	n    int
}

func (p *plain) String() string                  { return "i2c-7" }
func (p *plain) SetSpeed(physic.Frequency) error { return nil }
func (p *plain) Tx(_ uint16, w, r []byte) error {
	p.n++
	time.Sleep(p.took)
	copy(r, w)
	return p.err
}

func TestTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &plain{took: time.Second}
		dev := &i2c.Dev{Bus: b, Addr: 0x48}
		r := []byte{0}
		if err := drivers.Transfer(t.Context(), dev, []byte{7}, r); err != nil || r[0] != 7 {
			t.Errorf("read %v, %v", r, err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		for _, says := range []string{"late answer", "transfer"} { // the second does not begin
			err := drivers.Transfer(short, dev, []byte{7}, r)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), says) || b.n != 2 {
				t.Errorf("error %v after %d transfers", err, b.n)
			}
		}
		b.err = drivers.ErrAbsent
		err := drivers.Transfer(t.Context(), dev, []byte{7}, r)
		if !errors.Is(err, drivers.ErrAbsent) || !strings.Contains(err.Error(), "0x48 on i2c-7") {
			t.Errorf("error %v does not say what and where", err)
		}
	})
}

func TestSequenceOnABusThatCannotBeHeld(t *testing.T) {
	b := &plain{}
	err := drivers.Sequence(b, func(held i2c.Bus) error {
		if held != i2c.Bus(b) {
			t.Errorf("got %v", held)
		}
		return drivers.ErrBus
	})
	if err != drivers.ErrBus {
		t.Errorf("error = %v", err)
	}
}

func TestDefaults(t *testing.T) {
	d := drivers.Driver{Options: []drivers.Option{{Name: "a", Default: "x"}, {Name: "b", Default: int64(3)}}}
	if got := d.Defaults(); !reflect.DeepEqual(got, map[string]any{"a": "x", "b": int64(3)}) {
		t.Errorf("defaults = %v", got)
	}
}
