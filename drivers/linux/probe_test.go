package linux

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/drivers"
)

// smbusAdapter is a kernel with chips at some addresses. It reads the caller's
// memory by the offsets of struct i2c_smbus_ioctl_data.
type smbusAdapter struct {
	funcs uintptr
	chips map[int]error // what a transfer with the address ends with
	held  int
	addr  int
	log   []string
}

func (a *smbusAdapter) open(string) (int, error) { return 7, nil }
func (a *smbusAdapter) close(int) error          { return nil }

func (a *smbusAdapter) set(_ int, request uint, value int) error {
	if request != 0x0703 {
		return nil
	}
	if a.addr = value; value == a.held {
		return unix.EBUSY
	}
	return nil
}

func (a *smbusAdapter) ioctl(_ int, request uint, arg unsafe.Pointer) (int, error) {
	if request == 0x0705 {
		*(*uintptr)(arg) = a.funcs
		return 0, nil
	}
	head := unsafe.Slice((*byte)(arg), 2)
	size := *(*uint32)(unsafe.Add(arg, 4))
	data := *(*unsafe.Pointer)(unsafe.Add(arg, 8))
	a.log = append(a.log, fmt.Sprintf("%x %02x read=%d size=%d data=%v", request, a.addr, head[0], size, data != nil))
	err, there := a.chips[a.addr]
	if !there {
		return 0, unix.EREMOTEIO
	}
	return 0, err
}

func TestProbe(t *testing.T) {
	a := &smbusAdapter{funcs: 0x0eff0009, held: 0x4d, chips: map[int]error{0x48: nil, 0x50: nil, 0x20: unix.ETIMEDOUT}}
	opened, err := openI2C("i2c-1", a, new(sync.Mutex))
	if err != nil {
		t.Fatal(err)
	}
	b := opened.(drivers.Prober)
	for _, c := range []struct {
		addr uint16
		err  error
		log  string
	}{
		{0x48, nil, "720 48 read=0 size=0 data=false"},
		{0x49, drivers.ErrAbsent, "720 49 read=0 size=0 data=false"},
		{0x4d, drivers.ErrHeld, ""}, // it is not touched
		{0x50, nil, "720 50 read=1 size=1 data=true"},
		{0x37, drivers.ErrAbsent, "720 37 read=1 size=1 data=true"},
		{0x20, unix.ETIMEDOUT, "720 20 read=0 size=0 data=false"},
	} {
		a.log = nil
		if err := b.Probe(c.addr); !errors.Is(err, c.err) || strings.Join(a.log, ";") != c.log {
			t.Errorf("0x%02x: %v by %q", c.addr, err, a.log)
		}
	}
	a.funcs, a.log = 0x00000001, nil // an adapter that cannot address a chip alone
	if err := b.Probe(0x48); err != nil || strings.Join(a.log, ";") != "720 48 read=1 size=1 data=true" {
		t.Errorf("%v by %q", err, a.log)
	}
}
