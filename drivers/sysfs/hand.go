package sysfs

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrStuck is a read that the kernel has not answered. Nothing more is asked of
// the device until it does.
var ErrStuck = errors.New("a read of it has not returned")

// errLeft ends work that nobody waits for any more.
var errLeft = errors.New("nobody waits for it")

// A Hand does one piece of work at a time, in a goroutine that its caller may
// leave behind: nobody can cut short a read that is stuck in the kernel. While
// it is stuck, the Hand begins nothing else, so one goroutine is lost at most.
type Hand struct {
	opener *Opener
	key    string
	start  func()        // run, made once
	ended  chan struct{} // a token when work has ended that its caller waits for

	mu   sync.Mutex
	work func() error
	err  error  // of the last work
	busy bool   // the goroutine runs
	left bool   // its caller has gone
	file string // that is being read
}

// Do runs work and gives its error. It returns early with the error of ctx,
// naming the file, when ctx is done before.
func (h *Hand) Do(ctx context.Context, work func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := h.begin(work); err != nil {
		return err
	}
	go h.start()
	select {
	case <-h.ended:
		return h.err
	case <-ctx.Done():
		return h.leave(ctx.Err())
	}
}

// begin takes the work, unless the last one is still stuck.
func (h *Hand) begin(work func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy {
		return fmt.Errorf("%s: %w", h.file, ErrStuck)
	}
	h.work, h.busy, h.left, h.file = work, true, false, ""
	return nil
}

// run is the goroutine.
func (h *Hand) run() {
	err := h.work() // begin wrote it, and writes it again only when busy is false
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
	if !h.left {
		h.err = err
		h.ended <- struct{}{}
	}
}

// leave gives up waiting. Who opens the same device later finds this Hand at
// the opener, and what it is stuck at.
func (h *Hand) leave(cause error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.busy { // it has ended at this moment: too late
		<-h.ended
		return fmt.Errorf("late answer: %w", cause)
	}
	h.left = true
	h.opener.park(h)
	return fmt.Errorf("%s does not answer: %w", h.file, cause)
}

// enter notes which file is read next.
func (h *Hand) enter(file string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left {
		return errLeft
	}
	h.file = file
	return nil
}

// stuck tells what the Hand is stuck at; nil: at nothing any more.
func (h *Hand) stuck() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.busy {
		return nil
	}
	return fmt.Errorf("%s: %w", h.file, ErrStuck)
}

// An Opener opens the devices of one driver. It remembers which of them are
// stuck. The zero Opener is ready.
type Opener struct {
	mu     sync.Mutex
	parked map[string]*Hand // by the key of the device
}

// hand gives a new Hand for a device, or says that an old one is stuck.
func (o *Opener) hand(key string) (*Hand, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if old := o.parked[key]; old != nil {
		if err := old.stuck(); err != nil {
			return nil, err
		}
		delete(o.parked, key)
	}
	h := &Hand{opener: o, key: key, ended: make(chan struct{}, 1)}
	h.start = h.run
	return h, nil
}

func (o *Opener) park(h *Hand) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.parked == nil {
		o.parked = map[string]*Hand{}
	}
	o.parked[h.key] = h
}
