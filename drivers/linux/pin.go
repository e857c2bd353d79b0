package linux

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"github.com/fieldgate/fieldgate/drivers"
)

// line is what a requested line can do; *gpiocdev.Line.
type line interface {
	Value() (int, error)
	SetValue(value int) error
	Reconfigure(options ...gpiocdev.LineConfigOption) error
	Close() error
}

// gpios is the GPIO of a machine.
type gpios interface {
	chips() ([]chipInfo, error)
	request(chip string, offset int, options ...gpiocdev.LineReqOption) (line, error)
}

// A Pin is one GPIO line, a gpio.PinIO with ReadLevel beside. The line is
// taken from the kernel by In or Out and given back by Halt; what its level
// is after that is for the kernel's driver to choose. Looking at a pin never
// changes it.
type Pin struct {
	chip, name string
	sys        gpios

	mu     sync.Mutex // guards what follows
	offset int
	line   line // nil unless in use
	output bool
	pull   gpio.Pull
}

// OpenPin finds a line and takes nothing yet. chip is a label ("pinctrl-rp1");
// "" means the chip of a Raspberry Pi's header, else the only chip there is.
// name is the line's name ("GPIO17") or its offset ("17"). An error that is
// drivers.ErrBus means that the chip is not there.
func OpenPin(chip, name string) (*Pin, error) { return openPin(chip, name, cdev{}) }

func openPin(chip, name string, sys gpios) (*Pin, error) {
	p := &Pin{chip: chip, name: name, sys: sys}
	_, offset, err := p.find()
	if err != nil {
		return nil, err
	}
	p.offset = offset
	return p, nil
}

// find gives the chip, which may have come back under another number, and the
// offset of the line.
func (p *Pin) find() (chip chipInfo, offset int, err error) {
	all, err := p.sys.chips()
	if err != nil {
		return chip, 0, fmt.Errorf("%w: look for GPIO chips: %w%s", drivers.ErrBus, err, gpioHint(err))
	}
	if chip, err = pick(all, p.chip); err != nil {
		return chip, 0, err
	}
	offset, err = chip.offset(p.name)
	return chip, offset, err
}

// takeLocked requests the line with options.
func (p *Pin) takeLocked(options ...gpiocdev.LineReqOption) error {
	chip, offset, err := p.find()
	if err != nil {
		return err
	}
	l, err := p.sys.request(chip.path, offset, append(options, gpiocdev.WithConsumer("fieldgate"))...)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("line %s is in use by %q: %w", p.name, chip.lines[offset].consumer, err)
	}
	if err != nil {
		return fmt.Errorf("request line %s: %w", p.name, classifyLine(err))
	}
	p.line, p.offset = l, offset
	return nil
}

// classifyLine says what an errno of a line means: a line cannot be absent,
// only its chip can.
func classifyLine(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EBADF) {
		return fmt.Errorf("%w: %w", drivers.ErrBus, err)
	}
	return err
}

var biases = map[gpio.Pull]gpiocdev.LineBias{
	gpio.Float:    gpiocdev.WithBiasDisabled,
	gpio.PullDown: gpiocdev.WithPullDown,
	gpio.PullUp:   gpiocdev.WithPullUp,
}

// In makes the line an input. PullNoChange leaves the resistor as it is.
// For edges there is Watch.
func (p *Pin) In(pull gpio.Pull, edge gpio.Edge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if edge != gpio.NoEdge {
		return fmt.Errorf("line %s: edges are told by Watch", p.name)
	}
	bias, ok := biases[pull]
	var err error
	switch {
	case p.line == nil && ok:
		err = p.takeLocked(gpiocdev.AsInput, bias)
	case p.line == nil:
		err = p.takeLocked(gpiocdev.AsInput)
	case ok:
		err = p.line.Reconfigure(gpiocdev.AsInput, bias)
	default:
		err = p.line.Reconfigure(gpiocdev.AsInput)
	}
	if err != nil {
		return fmt.Errorf("make an input: %w", classifyLine(err))
	}
	p.output, p.pull = false, pull
	return nil
}

// Out makes the line an output that begins with this level: no other is on
// the wire in between. On an output it sets the level.
func (p *Pin) Out(l gpio.Level) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := 0
	if l {
		v = 1
	}
	var err error
	switch {
	case p.line == nil:
		err = p.takeLocked(gpiocdev.AsOutput(v))
	case p.output:
		err = p.line.SetValue(v)
	default:
		err = p.line.Reconfigure(gpiocdev.AsOutput(v))
	}
	if err != nil {
		return fmt.Errorf("drive %v: %w", l, classifyLine(err))
	}
	p.output = true
	return nil
}

// ReadLevel gives the level of the wire, of an input or of an output. It
// fails if the line is not in use.
func (p *Pin) ReadLevel() (gpio.Level, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line == nil {
		return gpio.Low, fmt.Errorf("line %s is not in use", p.name)
	}
	v, err := p.line.Value()
	if err != nil {
		return gpio.Low, fmt.Errorf("read line %s: %w", p.name, classifyLine(err))
	}
	return v != 0, nil
}

// Read is ReadLevel for those who cannot take an error: it says Low then.
func (p *Pin) Read() gpio.Level {
	l, _ := p.ReadLevel()
	return l
}

// Halt gives the line back to the kernel. It may be called twice.
func (p *Pin) Halt() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line == nil {
		return nil
	}
	err := p.line.Close()
	p.line, p.output = nil, false
	return err
}

// Name gives the name by which the pin was opened.
func (p *Pin) Name() string { return p.name }

// String gives the same.
func (p *Pin) String() string { return p.name }

// Number gives the offset on the chip, the BCM number on a Raspberry Pi.
func (p *Pin) Number() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offset
}

// Function gives "IN", "OUT", or "" while the line is not in use.
func (p *Pin) Function() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.line == nil:
		return ""
	case p.output:
		return string(gpio.OUT)
	}
	return string(gpio.IN)
}

// Pull gives what In asked for.
func (p *Pin) Pull() gpio.Pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pull
}

// DefaultPull is not known.
func (p *Pin) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// WaitForEdge sees no edge and does not wait; Watch tells them.
func (p *Pin) WaitForEdge(time.Duration) bool { return false }

// PWM fails.
func (p *Pin) PWM(gpio.Duty, physic.Frequency) error {
	return fmt.Errorf("line %s: PWM is not offered", p.name)
}
