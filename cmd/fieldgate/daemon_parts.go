package main

import (
	"context"
	"fmt"
)

// A part is something that runs until it is told to stop.
type part struct {
	name   string
	cancel context.CancelFunc
	ended  chan error // gets the one result
}

// launch starts a part; an end that nobody asked for goes to failed.
func launch(name string, run func(context.Context) error, failed chan<- error) *part {
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{name: name, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		err := run(ctx)
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		if ctx.Err() == nil {
			if err == nil {
				err = fmt.Errorf("%s ended by itself", name)
			}
			failed <- err
			err = nil // told already
		}
		p.ended <- err
	}()
	return p
}

// stop ends the part and waits for it until the deadline.
func (p *part) stop(deadline context.Context) error {
	p.cancel()
	select {
	case err := <-p.ended:
		return err
	case <-deadline.Done():
		return fmt.Errorf("%s did not end in %v", p.name, stopWithin)
	}
}
