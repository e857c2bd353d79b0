package linux

import (
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// adapter is a kernel with one I2C adapter, whose chips answer with the bytes
// written last, plus one. It reads the caller's memory by the offsets of the
// kernel's headers, as the kernel does.
type adapter struct {
	mu                    sync.Mutex
	openErr, ioErr        error
	funcs                 uintptr
	short                 bool // one message less than asked
	opened, nopen, atOnce int
	timeout, retries      int
	last                  []byte
}

func (a *adapter) open(path string) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if path != "/dev/i2c-1" {
		return 0, unix.ENOENT
	}
	if a.openErr != nil {
		return 0, a.openErr
	}
	a.opened++
	a.nopen++
	a.atOnce = max(a.atOnce, a.nopen)
	return 7, nil
}

func (a *adapter) close(int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nopen--
	return nil
}

func (a *adapter) set(_ int, request uint, value int) error {
	switch request {
	case 0x0702:
		a.timeout = value
	case 0x0701:
		a.retries = value
	}
	return nil
}

func (a *adapter) ioctl(fd int, request uint, arg unsafe.Pointer) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if fd != 7 {
		return 0, unix.EBADF
	}
	if a.ioErr != nil {
		return 0, a.ioErr
	}
	if request == 0x0705 {
		*(*uintptr)(arg) = a.funcs
		return 0, nil
	}
	return a.transfer(arg), nil
}

func (a *adapter) transfer(arg unsafe.Pointer) int {
	const word = unsafe.Sizeof(uintptr(0))
	raw := unsafe.Slice((*byte)(arg), 2*word)
	n := int(binary.NativeEndian.Uint32(raw[word:]))
	for i := range n {
		msg := unsafe.Add(*(*unsafe.Pointer)(arg), uintptr(i)*(8+word)) // addr 0, flags 2, len 4, buf 8
		head := unsafe.Slice((*uint16)(msg), 3)
		data := unsafe.Slice(*(**byte)(unsafe.Add(msg, 8)), head[2])
		if head[1]&1 == 0 {
			a.last = append([]byte(nil), data...)
			continue
		}
		for j := range data {
			data[j] = a.last[0] + byte(j) + 1
		}
	}
	if a.short {
		n--
	}
	return n
}

func (a *adapter) bus(t *testing.T) i2c.BusCloser {
	t.Helper()
	a.funcs = 0x0eff0009
	b, err := openI2C("i2c-1", a, new(sync.Mutex))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTransfer(t *testing.T) {
	a := &adapter{}
	b := a.bus(t)
	var r [3]byte
	if err := b.Tx(0x48, []byte{0x10, 0x20}, r[:]); err != nil || r != [3]byte{0x11, 0x12, 0x13} {
		t.Errorf("write and read: % x, %v", r, err)
	}
	if err := b.Tx(0x48, []byte{0x30}, nil); err != nil || a.last[0] != 0x30 {
		t.Errorf("write: %v", err)
	}
	if err := b.Tx(0x48, nil, r[:1]); err != nil || r[0] != 0x31 {
		t.Errorf("read: % x, %v", r, err)
	}
	if a.timeout != 20 || a.retries != 2 {
		t.Errorf("timeout %d, retries %d", a.timeout, a.retries)
	}
	before := a.opened
	if err := b.Tx(0x48, nil, nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
	for _, err := range []error{b.Tx(0x80, []byte{1}, nil), b.Tx(0x48, make([]byte, 8193), nil), b.SetSpeed(0)} {
		if err == nil {
			t.Error("accepted what it cannot do")
		}
	}
	if a.nopen != 0 || before < 4 || b.String() != "i2c-1" {
		t.Errorf("%d open, %d times opened, name %s", a.nopen, before, b)
	}
}

// Buffers may live on a stack that grows and shrinks, under a collector that
// runs all the time.
func TestBuffersOnTheStack(t *testing.T) {
	b := (&adapter{}).bus(t)
	for range 200 {
		done := make(chan bool)
		go func() { done <- deep(b, 40) }()
		runtime.GC()
		if !<-done {
			t.Fatal("an answer did not reach its buffer")
		}
	}
}

func deep(b i2c.Bus, n int) bool {
	var r [64]byte
	w := [2]byte{byte(n), 0}
	if n > 0 && !deep(b, n-1) {
		return false
	}
	return b.Tx(0x48, w[:], r[:]) == nil && r[0] == byte(n)+1 && r[63] == byte(n)+64
}

func TestErrnoIsKeptAndClassified(t *testing.T) {
	a := &adapter{}
	b := a.bus(t)
	for _, c := range []struct {
		errno  unix.Errno
		class  error
		others []error
	}{
		{unix.EREMOTEIO, drivers.ErrAbsent, []error{drivers.ErrBus}},
		{unix.ENXIO, drivers.ErrAbsent, []error{drivers.ErrBus}},
		{unix.ENODEV, drivers.ErrBus, []error{drivers.ErrAbsent}},
		{unix.ENOENT, drivers.ErrBus, []error{drivers.ErrAbsent}},
		{unix.EBADF, drivers.ErrBus, []error{drivers.ErrAbsent}},
		{unix.EBUSY, drivers.ErrBus, []error{drivers.ErrAbsent}},
		{unix.ETIMEDOUT, unix.ETIMEDOUT, []error{drivers.ErrAbsent, drivers.ErrBus}},
		{unix.EIO, unix.EIO, []error{drivers.ErrAbsent, drivers.ErrBus}},
	} {
		a.ioErr = c.errno
		err := b.Tx(0x48, []byte{0}, make([]byte, 2))
		if !errors.Is(err, c.errno) || !errors.Is(err, c.class) {
			t.Errorf("%v became %v", c.errno, err)
		}
		for _, other := range c.others {
			if errors.Is(err, other) {
				t.Errorf("%v became %v, which it is not", c.errno, other)
			}
		}
	}
	a.ioErr, a.short = nil, true
	if err := b.Tx(0x48, []byte{0}, make([]byte, 2)); err == nil {
		t.Error("one message of two passed, and no error")
	}
}

func TestOpenI2C(t *testing.T) {
	a := &adapter{funcs: 0x0eff0008}
	if _, err := openI2C("i2c-1", a, new(sync.Mutex)); !errors.Is(err, drivers.ErrBus) || !strings.Contains(err.Error(), "SMBus") {
		t.Errorf("an SMBus-only adapter: %v", err)
	}
	for _, name := range []string{"", "i2c", "1", "i2c-", "i2c-1000", "i2c-1/../mem", "/dev/i2c-1"} {
		if _, err := openI2C(name, a, new(sync.Mutex)); err == nil || errors.Is(err, drivers.ErrBus) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for errno, hint := range map[unix.Errno]string{unix.ENOENT: "i2c_arm", unix.EACCES: "group", unix.ENODEV: "no such device"} {
		a.openErr = errno
		_, err := openI2C("i2c-1", a, new(sync.Mutex))
		if !errors.Is(err, drivers.ErrBus) || !errors.Is(err, errno) || !strings.Contains(err.Error(), hint) {
			t.Errorf("open gave %v: %v", errno, err)
		}
	}
	if _, err := new(Buses).OpenI2C("i2c-199"); !errors.Is(err, drivers.ErrBus) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("a bus that this machine does not have: %v", err)
	}
}

func TestBusGoneAndBack(t *testing.T) {
	a := &adapter{}
	b := a.bus(t)
	a.openErr = unix.ENOENT
	if err := b.Tx(0x48, []byte{1}, nil); !errors.Is(err, drivers.ErrBus) {
		t.Errorf("gone: %v", err)
	}
	a.openErr = nil
	if err := b.Tx(0x48, []byte{1}, nil); err != nil {
		t.Errorf("back: %v", err)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Errorf("close twice: %v", err)
	}
	if err := b.Tx(0x48, []byte{1}, nil); !errors.Is(err, drivers.ErrBus) || a.nopen != 0 {
		t.Errorf("after close: %v, %d open", err, a.nopen)
	}
}

func TestSequence(t *testing.T) {
	a := &adapter{}
	b := a.bus(t)
	before := a.opened
	var wg sync.WaitGroup
	for id := range byte(8) {
		wg.Go(func() {
			for range 100 {
				var got [1]byte
				err := drivers.Sequence(b, func(held i2c.Bus) error {
					err := held.Tx(0x48, []byte{id}, nil)
					return errors.Join(err, drivers.Sequence(held, func(h i2c.Bus) error { return h.Tx(0x48, nil, got[:]) }))
				})
				if err != nil || got[0] != id+1 {
					t.Errorf("another's transfer fell between: %v, %d", err, got)
				}
			}
		})
	}
	wg.Wait()
	if n := a.opened - before; n != 800 || a.atOnce != 1 || a.nopen != 0 {
		t.Errorf("device opened %d times, %d at once, %d left open; want 800, 1, 0", n, a.atOnce, a.nopen)
	}
	var kept i2c.Bus
	_ = drivers.Sequence(b, func(held i2c.Bus) error { kept = held; return nil })
	if err := kept.Tx(0x48, []byte{1}, nil); !errors.Is(err, drivers.ErrBus) {
		t.Errorf("used after the sequence: %v", err)
	}
}
