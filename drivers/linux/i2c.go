// Package linux is the real hardware: I2C by the kernel's i2c-dev, lines by
// its GPIO character device. It registers nothing and enumerates nothing that
// was not asked for.
package linux

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/fieldgate/fieldgate/drivers"
)

// From the kernel's uapi/linux/i2c-dev.h and i2c.h.
const (
	i2cRetries = 0x0701 // so often when arbitration was lost
	i2cTimeout = 0x0702 // in 10 ms
	i2cSlave   = 0x0703 // whom i2cSMBus is about; EBUSY if a driver has it
	i2cFuncs   = 0x0705
	i2cRdwr    = 0x0707
	i2cSMBus   = 0x0720

	flagRead = 0x0001
	funcI2C  = 0x0001

	funcQuick = 0x00010000
	sizeQuick = 0
	sizeByte  = 1
)

// A transfer that hangs ends after the timeout; nothing else can end it.
// 200 ms let 100 bytes pass at 10 kHz, the speed advised for chips that
// stretch the clock. Both are the adapter's, hence of every process.
const (
	timeout = 20
	retries = 2
)

// message is struct i2c_msg, rdwr is struct i2c_rdwr_ioctl_data. The pointers
// are typed, as in unix.Iovec: a uintptr would not keep a buffer alive nor
// follow it when a goroutine's stack grows.
type message struct {
	addr, flags, len uint16
	buf              *byte
}

type rdwr struct {
	msgs  *message
	nmsgs uint32
}

// kernel is the system calls that a bus makes.
type kernel interface {
	open(path string) (fd int, err error)
	set(fd int, request uint, value int) error
	ioctl(fd int, request uint, arg unsafe.Pointer) (int, error)
	close(fd int) error
}

// I2C is a bus behind /dev/i2c-N. It opens the device for each sequence of
// transfers and closes it at once: an adapter cannot leave (driver unbind,
// overlay removed, USB adapter pulled) while anybody has its device open. The
// kernel's i2c_del_adapter waits for the last one, uninterruptibly, so a
// daemon that kept it open would hang whoever takes the bus away (14 s on an
// emulated Pi 3, until the holder ended; 0.09 s so). And an adapter that comes
// back is simply there again. The price there is 0.5 ms for each sequence.
type I2C struct {
	name, path string
	sys        kernel

	mu     *sync.Mutex // of all that use the wires: held for a sequence; guards closed
	closed bool
}

var i2cName = regexp.MustCompile(`^i2c-([0-9]{1,3})$`)

// Buses opens I2C buses. Those that it opened share the lock of their wires. The
// zero Buses is ready.
type Buses struct {
	Root string // "" in life; a folder with sys/ in tests

	mu    sync.Mutex // guards wires
	wires map[string]*sync.Mutex
}

// OpenI2C opens the bus called "i2c-N", the kernel's /dev/i2c-N, or
// "i2c-N/0x70/3", channel 3 of the multiplexer at 0x70 on it. Where the kernel
// drives the multiplexer, the kernel's bus of that channel is opened; else the
// channel is selected here, for each sequence. An error that is drivers.ErrBus
// means that the bus is not usable now but may be later; any other that the
// name is wrong.
//
// A bus stays good while its adapter comes and goes: in between, transfers
// fail with drivers.ErrBus. The kernel's errno can be asked for with
// errors.Is.
func (a *Buses) OpenI2C(name string) (i2c.BusCloser, error) { return a.open(name, system{}) }

func (a *Buses) open(name string, sys kernel) (i2c.BusCloser, error) {
	c, ok := drivers.ParseChannel(name)
	if !ok {
		return openI2C(name, sys, a.lock(name))
	}
	adapter, err := adapterOf(a.Root, c)
	switch {
	case err != nil:
		return nil, err
	case adapter != "":
		return openI2C(adapter, sys, a.lock(adapter))
	}
	bus, err := openI2C(c.Bus, sys, a.lock(c.Bus))
	if err != nil {
		return nil, err
	}
	return c.Behind(bus), nil
}

// lock gives the lock of the wires of an adapter.
func (a *Buses) lock(adapter string) *sync.Mutex {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wires == nil {
		a.wires = map[string]*sync.Mutex{}
	}
	if a.wires[adapter] == nil {
		a.wires[adapter] = &sync.Mutex{}
	}
	return a.wires[adapter]
}

func openI2C(name string, sys kernel, wires *sync.Mutex) (i2c.BusCloser, error) {
	if !i2cName.MatchString(name) {
		return nil, fmt.Errorf("I2C bus %q: want i2c-N, as in /dev/i2c-N", name)
	}
	b := &I2C{name: name, path: "/dev/" + name, sys: sys, mu: wires}
	err := b.withDevice(func(fd int) error {
		var funcs uintptr // unsigned long
		if _, err := sys.ioctl(fd, i2cFuncs, unsafe.Pointer(&funcs)); err != nil {
			return fmt.Errorf("%w: %s: ask what it can do: %w", drivers.ErrBus, b.path, err)
		}
		if funcs&funcI2C == 0 {
			return fmt.Errorf("%w: %s speaks only SMBus, not I2C", drivers.ErrBus, b.path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// String gives the name, "i2c-1".
func (b *I2C) String() string { return b.name }

// SetSpeed fails: on Linux the speed is set in the device tree.
func (b *I2C) SetSpeed(physic.Frequency) error {
	return errors.New("i2c-dev cannot change the speed; see dtparam=i2c_arm_baudrate")
}

// Close ends the use of the bus. It waits for a sequence under way.
func (b *I2C) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// Tx does one transfer: a start condition, w, a repeated start if there are
// both, r, a stop condition. Without any bytes it does nothing.
func (b *I2C) Tx(addr uint16, w, r []byte) error {
	return b.Sequence(func(h i2c.Bus) error { return h.Tx(addr, w, r) })
}

// Sequence holds the bus while f runs. Other processes are not kept off.
func (b *I2C) Sequence(f func(held i2c.Bus) error) error {
	return b.withDevice(func(fd int) error {
		h := &heldI2C{I2C: b, fd: fd}
		defer func() { h.fd = -1 }()
		return f(h)
	})
}

// withDevice opens the device for as long as f runs, and keeps others off.
func (b *I2C) withDevice(f func(fd int) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return fmt.Errorf("%w: %s is closed", drivers.ErrBus, b.name)
	}
	fd, err := b.sys.open(b.path)
	if err != nil {
		return fmt.Errorf("%w: open %s: %w%s", drivers.ErrBus, b.path, err, openHint(err))
	}
	defer b.sys.close(fd)
	err = errors.Join(b.sys.set(fd, i2cTimeout, timeout), b.sys.set(fd, i2cRetries, retries))
	if err != nil {
		return fmt.Errorf("%w: set timeout of %s: %w", drivers.ErrBus, b.path, err)
	}
	return f(fd)
}

func openHint(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return " (is the bus switched on, dtparam=i2c_arm=on, and i2c-dev loaded?)"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return " (is the user in the group of that file, i2c?)"
	}
	return ""
}

// heldI2C is the bus within a sequence.
type heldI2C struct {
	*I2C
	fd int
}

// Sequence of a held bus: it is held already.
func (h *heldI2C) Sequence(f func(held i2c.Bus) error) error { return f(h) }

// Tx does one transfer.
func (h *heldI2C) Tx(addr uint16, w, r []byte) error {
	if addr > 0x7f {
		return fmt.Errorf("address %#x has more than 7 bits", addr)
	}
	msgs := make([]message, 0, 2)
	if len(w) > 0 {
		msgs = append(msgs, message{addr: addr, len: uint16(len(w)), buf: &w[0]})
	}
	if len(r) > 0 {
		msgs = append(msgs, message{addr: addr, flags: flagRead, len: uint16(len(r)), buf: &r[0]})
	}
	if len(msgs) == 0 {
		return nil
	}
	if max(len(w), len(r)) > 8192 {
		return fmt.Errorf("transfer of %d bytes: i2c-dev takes 8192", max(len(w), len(r)))
	}
	n, err := h.sys.ioctl(h.fd, i2cRdwr, unsafe.Pointer(&rdwr{msgs: &msgs[0], nmsgs: uint32(len(msgs))}))
	if err != nil {
		return classify(err)
	}
	if n != len(msgs) {
		return fmt.Errorf("%d of %d messages passed", n, len(msgs))
	}
	return nil
}

// classify says what an errno of a transfer means (the kernel's
// Documentation/i2c/fault-codes.rst). A time-out is neither a missing device
// nor an unusable bus: one device that stretches the clock for too long
// causes it as well as one that holds down the wires for all.
func classify(err error) error {
	switch {
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.EREMOTEIO):
		return fmt.Errorf("%w: %w", drivers.ErrAbsent, err)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EBADF),
		errors.Is(err, unix.EBUSY), errors.Is(err, unix.ESHUTDOWN), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: %w", drivers.ErrBus, err)
	case errors.Is(err, unix.ETIMEDOUT):
		return fmt.Errorf("%w (a wire held down, or a device that stretches the clock)", err)
	}
	return err
}

// system is the kernel itself.
type system struct{}

func (system) open(path string) (int, error) { return unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0) }
func (system) close(fd int) error            { return unix.Close(fd) }

func (system) set(fd int, request uint, value int) error {
	return unix.IoctlSetInt(fd, request, value)
}

func (system) ioctl(fd int, request uint, arg unsafe.Pointer) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
