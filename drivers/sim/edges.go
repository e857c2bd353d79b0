package sim

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
)

// lookEvery is how often somebody looks at the level of a watched line that
// moves by itself.
const lookEvery = 5 * time.Millisecond

// watched is a line's watch, guarded by the pin's mu.
type watched struct {
	told func(drivers.Edge) // nil: nobody watches
	want gpio.Edge
	last gpio.Level
	seq  uint32
	lose int    // edges that the kernel will not keep
	file string // that moves the line; "": none
	pipe *pipe  // while it is open
}

// Watch makes the line an input and tells its edges. A level that follows a
// function is looked at every 5 ms. Debounce is not simulated.
func (p *Pin) Watch(w drivers.Watch, told func(drivers.Edge)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return p.err
	case p.input:
		return fmt.Errorf("watch simulated line %s: it is in use", p.name)
	}
	p.pull, p.input = w.Pull, true
	p.told, p.want, p.last, p.seq = told, w.Edge, p.level(), 0
	if p.file != "" {
		return p.followLocked()
	}
	time.AfterFunc(lookEvery, p.look)
	return nil
}

func (p *Pin) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told == nil {
		return
	}
	p.lookLocked()
	time.AfterFunc(lookEvery, p.look)
}

// lookLocked tells an edge if the level is another one than before.
func (p *Pin) lookLocked() {
	if p.told == nil {
		return
	}
	level := p.level()
	if level == p.last {
		return
	}
	p.last = level
	if p.want == gpio.RisingEdge && !bool(level) || p.want == gpio.FallingEdge && bool(level) {
		return
	}
	p.seq++
	if p.lose > 0 {
		p.lose--
		return
	}
	p.told(drivers.Edge{Level: level, At: time.Now(), Seq: p.seq})
}

// Lose makes the next n edges get lost, as where the kernel has no room for
// them: they have numbers, and nobody is told.
func (p *Pin) Lose(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose = n
}

// NewPipePin gives a line that a named pipe moves: every 1 written to it makes
// the line high, every 0 low.
func NewPipePin(file string) *Pin {
	p := NewPin(file, func() gpio.Level { return gpio.Low })
	p.file = file
	return p
}

// A pipe is an open named pipe, with a goroutine that reads it.
type pipe struct {
	file  *os.File
	ended chan struct{}
}

// followLocked begins to read the pipe, if the line has one.
func (p *Pin) followLocked() error {
	if p.file == "" || p.pipe != nil {
		return nil
	}
	// Open for both, it has no end when a writer goes.
	f, err := os.OpenFile(p.file, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		p.input, p.told = false, nil
		return fmt.Errorf("open simulated line: %w: %w", drivers.ErrBus, err)
	}
	p.pipe = &pipe{file: f, ended: make(chan struct{})}
	go p.follow(p.pipe)
	return nil
}

func (p *Pin) follow(from *pipe) {
	defer close(from.ended)
	b := make([]byte, 256)
	for {
		n, err := from.file.Read(b)
		if err != nil {
			return
		}
		for _, c := range b[:n] {
			if c == '0' || c == '1' {
				p.Set(c == '1')
			}
		}
	}
}

// end closes the pipe and waits for its reader. A pipe that is nil is closed.
func (f *pipe) end() error {
	if f == nil {
		return nil
	}
	err := f.file.Close()
	<-f.ended
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
