// Package scd4x reads Sensirion's CO2, temperature and humidity sensors SCD40
// and SCD41. Facts are from the datasheet "SCD4x", version 1.3, September 2022.
//
// The chip measures by itself every 5 s. It goes on while the daemon is away,
// and then refuses every command but a few (table 9). Nothing is ever written
// to its EEPROM: offset, altitude and calibration stay as they were set.
package scd4x

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sensirion"
)

// Commands (table 9).
var (
	cmdSerial = []byte{0x36, 0x82} // refused while it measures
	cmdStart  = []byte{0x21, 0xb1} // refused while it measures
	cmdStop   = []byte{0x3f, 0x86}
	cmdReady  = []byte{0xe4, 0xb8}
	cmdRead   = []byte{0xec, 0x05}
	cmdWake   = []byte{0x36, 0xf6} // never acknowledged (§3.10.4)
)

const (
	executing = time.Millisecond // of a command that answers (table 9)
	// waking is how long the chip takes to wake up: 20 ms (table 9).
	waking = 30 * time.Millisecond
	// period is how long the next measurement takes at most: 5 s (§3.5.1), and
	// a tenth for the clock of the chip.
	period = 5500 * time.Millisecond
	// ready has the bits of the data-ready word that are 0 when nothing new
	// was measured (§3.8.2).
	ready = 0x07ff
)

// What the chip is specified for (§1, SCD41): 400 to 5000 ppm, with 50 ppm that
// it may err.
const (
	minPPM, maxPPM         = 350, 5000
	minCelsius, maxCelsius = -10 - 0.0014, 60 + 0.0014
)

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:      "scd4x",
		Doc:       "SCD40, SCD41 CO2, temperature and humidity sensors",
		Chips:     []string{"SCD4x"},
		Bus:       drivers.BusI2C,
		Addresses: []uint16{0x62},
		Address:   0x62,
		Interval:  10 * time.Second,
		Timeout:   time.Second,
		Quantities: []drivers.Quantity{
			{Name: "co2", Unit: "/", Typical: 0.00045}, {Name: "temperature", Unit: "Cel"}, {Name: "humidity", Unit: "%RH"},
		},
		Lies: []drivers.Lie{{
			Name: "no-co2", Doc: "0 ppm with a right checksum when it measured temperature and humidity alone (§3.10.2).",
			Tell: func(c drivers.Chip) { c.(*chip).blind = true },
		}, {
			Name: "idle", Doc: "It does not measure: its power failed, or another program stopped it. No data is ever ready.",
			Tell: func(c drivers.Chip) { c.(*chip).mode = idle },
		}},
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	dev   i2c.Dev
	found bool // it measured already when it was opened
	ready bool // Start saw that there is a new measurement
	in    [9]byte
	words [3]uint16
	vals  [3]drivers.Value
}

// open starts the measurement if it is not under way.
func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	err := s.ask(ctx, cmdSerial, 3)
	if errors.Is(err, drivers.ErrAbsent) {
		// It measures, sleeps, was powered up a moment ago, or is not there.
		if err := s.wake(ctx); err != nil {
			return nil, err
		}
		err = s.ask(ctx, cmdSerial, 3)
	}
	switch {
	case err == nil:
		if err := drivers.Transfer(ctx, &s.dev, cmdStart, nil); err != nil {
			return nil, fmt.Errorf("start measuring: %w", err)
		}
		return s, nil
	case !errors.Is(err, drivers.ErrAbsent):
		return nil, fmt.Errorf("read serial number: %w", err)
	}
	// A chip that measures refuses its serial number, and answers this.
	if _, err := s.isReady(ctx); err != nil {
		return nil, err
	}
	s.found = true
	return s, nil
}

// wake ends a sleep.
func (s *sensor) wake(ctx context.Context) error {
	if err := drivers.Transfer(ctx, &s.dev, cmdWake, nil); err != nil && !errors.Is(err, drivers.ErrAbsent) {
		return fmt.Errorf("wake up: %w", err)
	}
	return drivers.Pause(ctx, waking)
}

// ask sends a command and takes n words from the chip.
func (s *sensor) ask(ctx context.Context, command []byte, n int) error {
	if err := drivers.Transfer(ctx, &s.dev, command, nil); err != nil {
		return err
	}
	time.Sleep(executing)
	in := s.in[:sensirion.Length(n)]
	if err := drivers.Transfer(ctx, &s.dev, nil, in); err != nil {
		return err
	}
	return sensirion.Words(s.words[:n], in)
}

// isReady says whether there is a measurement that was not read yet.
func (s *sensor) isReady(ctx context.Context) (bool, error) {
	if err := s.ask(ctx, cmdReady, 1); err != nil {
		return false, fmt.Errorf("read data-ready status: %w", err)
	}
	return s.words[0]&ready != 0, nil
}

// Start looks for a new measurement, and waits for the next if there is none.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	var err error
	if s.ready, err = s.isReady(ctx); err != nil || s.ready {
		return 0, err
	}
	return period, nil
}

// Read gives the newest measurement. The chip gives each once (§3.5.2).
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if !s.ready {
		if err := s.mustBeReady(ctx); err != nil {
			return nil, err
		}
	}
	s.ready = false
	if err := s.ask(ctx, cmdRead, 3); err != nil {
		return nil, fmt.Errorf("read measurement: %w", err)
	}
	if s.words[0] == 0 {
		return nil, errors.New("it measured no CO2: 0 ppm")
	}
	s.give(float64(s.words[0]), sensirion.Celsius(s.words[1]), 100*sensirion.Part(s.words[2]))
	return s.vals[:], nil
}

// mustBeReady fails if nothing was measured. A chip that was found measuring may
// do it in a slower mode: it is stopped, and the next Open starts it.
func (s *sensor) mustBeReady(ctx context.Context) error {
	isReady, err := s.isReady(ctx)
	if err != nil || isReady {
		return err
	}
	if s.found {
		if err := drivers.Transfer(ctx, &s.dev, cmdStop, nil); err != nil {
			return fmt.Errorf("stop measuring: %w", err)
		}
	}
	return fmt.Errorf("nothing was measured within %v: its power failed, or another program set it", period)
}

func (s *sensor) give(ppm, celsius, humidity float64) {
	doubt := [3]string{}
	if ppm < minPPM || ppm > maxPPM {
		doubt[0] = "outside the range of the chip"
	}
	if celsius < minCelsius || celsius > maxCelsius {
		doubt[1], doubt[2] = "outside the range of the chip", "outside the range of the chip"
	}
	s.vals[0] = drivers.Value{Quantity: "co2", Value: ppm / 1e6, Doubt: doubt[0]}
	s.vals[1] = drivers.Value{Quantity: "temperature", Value: celsius, Doubt: doubt[1]}
	s.vals[2] = drivers.Value{Quantity: "humidity", Value: humidity, Doubt: doubt[2]}
}

// Halt leaves the chip measuring: its values settle over minutes, and the
// daemon that comes next reads on.
func (s *sensor) Halt() error { return nil }
