package sim

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

var errInputOnly = errors.New("simulated line can only be an input")

// A Pin is a simulated input line, a gpio.PinIO.
type Pin struct {
	name string

	mu    sync.Mutex // guards what follows
	level func() gpio.Level
	pull  gpio.Pull
	input bool // between In or Watch and Halt
	err   error
	watched
}

// NewPin gives a line whose level is what the function says whenever somebody
// looks.
func NewPin(name string, level func() gpio.Level) *Pin { return &Pin{name: name, level: level} }

// Set holds the line at a level from now on.
func (p *Pin) Set(l gpio.Level) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.level = func() gpio.Level { return l }
	p.lookLocked()
}

// Fail makes In and ReadLevel fail with err, until Fail(nil).
func (p *Pin) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// In makes the line an input. For edges there is Watch.
func (p *Pin) In(pull gpio.Pull, edge gpio.Edge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if edge != gpio.NoEdge {
		return errors.New("a simulated line tells edges by Watch")
	}
	if p.err != nil {
		return p.err
	}
	p.pull, p.input = pull, true
	return p.followLocked()
}

// ReadLevel gives the level; the line has to be an input.
func (p *Pin) ReadLevel() (gpio.Level, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return gpio.Low, p.err
	}
	if !p.input {
		return gpio.Low, fmt.Errorf("simulated line %s is not in use", p.name)
	}
	return p.level(), nil
}

// Read is ReadLevel for those who take Low for an error.
func (p *Pin) Read() gpio.Level {
	l, _ := p.ReadLevel()
	return l
}

// Pull gives what In asked for.
func (p *Pin) Pull() gpio.Pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pull
}

// Halt ends the use of the line.
func (p *Pin) Halt() error {
	p.mu.Lock()
	p.input, p.told = false, nil
	pipe := p.pipe
	p.pipe = nil
	p.mu.Unlock()
	return pipe.end()
}

// The rest of gpio.PinIO.

// String gives the name.
func (p *Pin) String() string { return p.name }

// Name gives the name.
func (p *Pin) Name() string { return p.name }

// Number is -1: the line has none.
func (p *Pin) Number() int { return -1 }

// Function is always "IN".
func (p *Pin) Function() string { return "IN" }

// DefaultPull is not known.
func (p *Pin) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// WaitForEdge sees no edge and does not wait.
func (p *Pin) WaitForEdge(time.Duration) bool { return false }

// Out fails.
func (p *Pin) Out(gpio.Level) error { return errInputOnly }

// PWM fails.
func (p *Pin) PWM(gpio.Duty, physic.Frequency) error { return errInputOnly }
