package drivers

import (
	"context"
	"errors"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
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
	// At is when it was measured, if that was before the visit: the edge of a
	// line. Only the monotonic part is meant. The zero time: now.
	At time.Time
	// Doubt says why the value may be wrong: "input clipped". Such a value is
	// stored as suspect, never as good. "": nothing speaks against it. Use
	// constants: a visit allocates nothing.
	Doubt string
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

// A Starter is a Sensor whose chip takes a while to measure. A visit is then
// two steps, and others on the bus are visited in between.
type Starter interface {
	Sensor
	// Start begins a measurement and says how long it takes. Read is called
	// no sooner than that after it, once. Where Start fails, Read is not
	// called.
	Start(ctx context.Context) (time.Duration, error)
}

// An Actuator is one open output: a relay, a valve, a PWM channel. One
// goroutine at a time; all calls return soon after ctx is done.
type Actuator interface {
	// Set drives the output to v, in the unit of the table. The output has
	// changed when it returns nil; after an error it may have.
	Set(ctx context.Context, v float64) error
	// State reads back what the output is. It must not disturb the output.
	State(ctx context.Context) (float64, error)
	// Halt drives the safe level. May be called twice.
	Halt() error
}

// A BusKind is what a driver needs to be joined to.
type BusKind string

// The kinds of bus. BusNone is for the board itself.
const (
	BusI2C  BusKind = "i2c"
	BusSPI  BusKind = "spi"
	BusGPIO BusKind = "gpio"
	BusNone BusKind = ""
)

// A Quantity is one channel that a driver can give.
type Quantity struct {
	Name string // [A-Za-z0-9_-]{1,64}
	Unit string // IANA SenML units registry
	// Decimals are what a value is rounded to: more than the chip resolves, and
	// less than the noise of a float64, which takes eight bytes on the card where
	// a short number takes one. 0: what is usual for the unit.
	Decimals int
	// Typical is a usual value, for simulated chips. 0: what is usual for the
	// unit.
	Typical float64
	// Total is a count since Open that never falls; the sensor is a Counter. The
	// gateway adds what was counted before, also before a restart.
	Total bool
}

// An Option is a driver's own key in [[device]].
type Option struct {
	Name     string
	Default  any    // bool, int64, float64 or string: the type that the key must have
	OneOf    []any  // of that type; nil: any value
	Required string // what to write if the key is missing; "": Default holds
	Example  any    // of that type: what the suite and the simulation set; nil: Default
	Doc      string
}

// A Target is where a driver finds its device, and how it shall use it.
// Only the fields of the driver's BusKind are set.
type Target struct {
	I2C       i2c.Bus
	Address   uint16
	SPI       spi.Conn // connected as the row's SPI says
	Pin       gpio.PinIO
	ActiveLow bool
	SysRoot   string         // "/" in life; a folder with sys/ and proc/ in tests
	Options   map[string]any // every option of the table, defaults filled in
}

// An SPI says how a chip on SPI is spoken to.
type SPI struct {
	Mode  spi.Mode
	Speed physic.Frequency // the highest
}

// An Identity is how a chip says who it is. Asking changes nothing but the
// register that it would give next; other chips at its address must take no harm.
type Identity struct {
	Chip string // "BME280"
	Ask  []byte // what is written: the number of a register
	Is   []byte // what is read then
	Mask []byte // the bits of it that count; nil: all
}

// A Lie is something that a chip says when it should say nothing: 85 °C of a
// DS18B20 that was just powered. A driver gives no good value for it.
type Lie struct {
	Name string // [a-z0-9-]+
	Doc  string // what the chip says and when, with the page of the datasheet
	// Tell makes a simulated chip, one that Simulate made, tell the lie from
	// now on. The suite visits such a chip, when it is opened and later. It
	// accepts an error, no value, a value in doubt, or the true value.
	Tell func(c Chip)
	// Test names the test in the driver's package that proves it, where Tell
	// cannot show it. One of both is set.
	Test string
}

// A Driver is one row of the table of drivers.
type Driver struct {
	Name           string   // as in the configuration
	Doc            string   // one sentence: which chips or what for
	Chips          []string // "TMP102": what proofs are counted by; nil: it is no chip that the driver reads
	Bus            BusKind
	Addresses      []uint16   // I2C addresses that the chip can have; nil: any
	Address        uint16     // the one it has unless told otherwise; 0: it must be told
	Identity       []Identity // of its chips; nil: they do not say who they are
	Interval       time.Duration
	Timeout        time.Duration // for one visit
	Quantities     []Quantity    // nil: only known after Open, by Quantities() of the Sensor
	MostQuantities int           // when Quantities is nil: how many there can be at most
	Options        []Option
	SPI            SPI
	Lies           []Lie
	// Blind lists the faults that no driver can see in the chip's bytes, by
	// the names of the suite's checks: "MISOStuckLow". A chip without a
	// checksum does not show a flipped bit: "FlippedBit".
	Blind []string
	// Open checks that the device is there and prepares it. It is called
	// again after the device was lost: a sensor that lost power forgot its
	// settings. It returns soon after ctx is done.
	Open func(ctx context.Context, t Target) (Sensor, error)
	// OpenOutput does the same for a device that acts. A driver has Open or
	// OpenOutput.
	OpenOutput func(ctx context.Context, t Target) (Actuator, error)

	// How the device is simulated: one of these, as Bus has it.

	// Simulate makes a chip on I2C or SPI, just powered up.
	Simulate func(Simulation) Chip
	// SimulateLine gives the level of a GPIO line whenever it is called.
	SimulateLine func(Simulation) gpio.Level
	// Files are some that the kernel may show for such a device, for drivers
	// that read them: text by path below the root of the system. A text
	// "-> X" makes a link to X. nil: the driver reads those of this machine.
	Files map[string]string
}

// A Lister is a Sensor that knows its quantities only once it is open: the
// board itself, for one.
type Lister interface {
	Quantities() []Quantity
}
