package main

import (
	"errors"
	"fmt"

	"github.com/fieldgate/fieldgate/gateway/control"
)

// controlFlag says which running gateway is meant.
type controlFlag struct {
	Control string `default:"/run/fieldgate/control.sock" help:"Socket of the gateway that runs."`
}

func (k controlFlag) client() control.Client { return control.Client{Path: k.Control} }

// whatToDo adds to the error of asking the daemon what a person can do.
func whatToDo(err error) error {
	switch {
	case errors.Is(err, control.ErrNotRunning):
		return fmt.Errorf("%w. See whether the service runs, and why not: systemctl status fieldgate; journalctl -u fieldgate -n 50", err)
	case errors.Is(err, control.ErrDenied):
		return fmt.Errorf("%w: use sudo", err)
	}
	return err
}
