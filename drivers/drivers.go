// Package drivers says what a driver is: a Sensor behind a bus, and the table
// entry that describes it. It knows periph's bus interfaces and nothing of
// gateways, stores or networks.
package drivers

import (
	"context"
	"errors"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
)

// ErrAbsent is a device that does not answer at its address (the bus itself
// works). Drivers and buses wrap it.
var ErrAbsent = errors.New("no answer from the device")

// ErrBus is a bus that cannot be used at all: not there, taken away, or stuck.
// It concerns every device on it.
var ErrBus = errors.New("bus unusable")

// A Value is one quantity that a visit to a device gave.
type Value struct {
	Quantity string  // as in the driver's table, e.g. "temperature"
	Value    float64 // in the unit of the table
}

// A Sensor is one open device.
type Sensor interface {
	// Read visits the device once. One goroutine at a time; returns soon
	// after ctx is done. The slice is the sensor's own and valid until the
	// next Read.
	Read(ctx context.Context) ([]Value, error)
	// Halt leaves the device inert. May be called twice, and after a failed
	// Read. It does not close the bus.
	Halt() error
}

// A BusKind is what a driver needs to be joined to.
type BusKind string

// The kinds of bus. BusNone is for the board itself.
const (
	BusI2C  BusKind = "i2c"
	BusGPIO BusKind = "gpio"
	BusNone BusKind = ""
)

// A Quantity is one channel that a driver can give.
type Quantity struct {
	Name string // [A-Za-z0-9_-]{1,64}
	Unit string // IANA SenML units registry
}

// An Option is a driver's own key in [[device]].
type Option struct {
	Name    string
	Default any   // bool, int64 or string: the type that the key must have
	OneOf   []any // of that type; nil: any value
	Doc     string
}

// A Target is where a driver finds its device, and how it shall use it.
// Only the field of the driver's BusKind is set.
type Target struct {
	I2C       i2c.Bus
	Address   uint16
	Pin       gpio.PinIO
	ActiveLow bool
	SysRoot   string         // "/" in life; a folder with sys/ and proc/ in tests
	Options   map[string]any // every option of the table, defaults filled in
}

// A Driver is one row of the table of drivers.
type Driver struct {
	Name           string // as in the configuration
	Doc            string // one sentence: which chips or what for
	Bus            BusKind
	Addresses      []uint16 // I2C addresses that the chip can have; nil: any
	Address        uint16   // the one it has unless told otherwise; 0: it must be told
	Interval       time.Duration
	Timeout        time.Duration // for one visit
	Quantities     []Quantity    // nil: only known after Open, by Quantities() of the Sensor
	MostQuantities int           // when Quantities is nil: how many there can be at most
	Options        []Option
	// Open checks that the device is there and prepares it. It is called
	// again after the device was lost: a sensor that lost power forgot its
	// settings. It returns soon after ctx is done.
	Open func(ctx context.Context, t Target) (Sensor, error)
}

// A Lister is a Sensor that knows its quantities only once it is open: the
// board itself, for one.
type Lister interface {
	Quantities() []Quantity
}
