package sht4x

import (
	"errors"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// The simulated chip is deaf while it measures or heats, and warm after it.
func TestSimulatedHeater(t *testing.T) {
	now := time.Second
	c := simulate(drivers.Simulation{Clock: func() time.Duration { return now }})
	read := func(w ...byte) ([6]byte, error) {
		var r [6]byte
		err := c.Tx(w, nil)
		now += 10 * time.Millisecond
		if err == nil {
			err = c.Tx(nil, r[:])
		}
		return r, err
	}
	cold, err := read(0xfd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(0x32); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("answers while it heats: %v", err)
	}
	now += time.Second
	warm, err := read(0xfd)
	if err != nil || warm[0] <= cold[0] {
		t.Errorf("after the heater: % x, %v, before it % x", warm, err, cold)
	}
	now += time.Minute
	if again, err := read(0xfd); err != nil || again != cold {
		t.Errorf("a minute later: % x, %v, want % x", again, err, cold)
	}
	if _, err := read(0x00); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("an unknown command: %v", err)
	}
	if _, err := read(0xfd, 0); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("two bytes: %v", err)
	}
	if _, err := read(simReset); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("an answer to a reset: %v", err)
	}
}
