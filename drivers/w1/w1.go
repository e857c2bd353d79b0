// Package w1 reads thermometers on 1-Wire, which the kernel shows in
// /sys/bus/w1: DS18S20 (family 10), DS1822 (22), DS18B20 (28), DS1825 and
// MAX31850 (3b), DS28EA00 (42). The kernel drives the line, whatever master it
// is on: a GPIO line, or a bridge such as the DS2482.
package w1

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sysfs"
)

// Driver is the row for the table. A conversion takes 0.75 s, and sensors that
// are powered by the line wait for each other.
func Driver() drivers.Driver {
	line := &line{past: memory{last: map[string]float64{}}}
	return drivers.Driver{
		Name:       "w1",
		Doc:        "thermometers on 1-Wire: DS18B20, DS18S20, DS1822, DS1825, DS28EA00, MAX31850",
		Chips:      []string{"DS18B20", "DS18S20"},
		Bus:        drivers.BusNone,
		Interval:   10 * time.Second,
		Timeout:    8 * time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}},
		Options: []drivers.Option{{
			Name: "sensor", Default: "", Example: "28-0123456789ab",
			Required: `the serial number of the thermometer, such as "28-0123456789ab"`,
			Doc: "Serial number of the thermometer as the kernel writes it: 28-0123456789ab. " +
				"ls /sys/bus/w1/devices shows those that are there; the message of a wrong one lists them too.",
		}},
		Files: map[string]string{"sys/bus/w1/devices/28-0123456789ab/w1_slave": "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n" +
			"72 01 4b 46 7f ff 0e 10 57 t=23125\n"},
		Lies: lies,
		Open: line.open,
	}
}

// A line is what the driver knows of all thermometers.
type line struct {
	opener sysfs.Opener
	past   memory
}

func (l *line) open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	return l.opener.Open(ctx, t, l.look)
}

// lies are those of the DS18B20 and its like; TestKnownLies tells each.
var lies = []drivers.Lie{
	{Name: "power-on", Doc: "85 Cel with a right checksum after power-up (DS18B20 datasheet, table 1).", Test: "TestKnownLies"},
	{Name: "zeros", Doc: "Nine zeros, whose checksum is right, of a line that is held low.", Test: "TestKnownLies"},
	{Name: "ones", Doc: "Nine bytes ff of a line that nobody drives.", Test: "TestKnownLies"},
	{Name: "weak-power", Doc: "127.94 Cel of a chip with too little power to measure.", Test: "TestKnownLies"},
	{Name: "unsigned", Doc: "Some 4000 Cel of a kernel that took a register with a sign for one without.", Test: "TestKnownLies"},
	{Name: "stale", Doc: "The kernel shows the last good answer after a bad one.", Test: "TestKnownLies"},
	{Name: "open-thermocouple", Doc: "400 Cel and its like of a MAX31850 with its fault bit set.", Test: "TestKnownLies"},
}

// serial is the name of a thermometer: family and number.
var serial = regexp.MustCompile(`^(10|22|28|3b|42)-[0-9a-f]{12}$`)

// A thermometer is one that was found.
type thermometer struct {
	hand   *sysfs.Hand
	past   *memory
	key    string // in past
	family string
	file   string // w1_slave, else temperature
}

func (l *line) look(h *sysfs.Hand, root, want string) (sysfs.Look, error) {
	dirs, err := filepath.Glob(filepath.Join(root, "sys/bus/w1/devices/*"))
	if err != nil {
		return sysfs.Look{}, fmt.Errorf("list thermometers: %w", err)
	}
	var there []string
	for _, dir := range dirs {
		name := filepath.Base(dir)
		if !serial.MatchString(name) {
			continue
		}
		if name == want {
			th := &thermometer{hand: h, past: &l.past, key: root + "\x00" + want, family: want[:2]}
			return th.look(dir)
		}
		there = append(there, name)
	}
	others := "the kernel shows no thermometer at all"
	if len(there) > 0 {
		others = "the kernel shows " + strings.Join(there, ", ")
	}
	if !serial.MatchString(want) {
		return sysfs.Look{}, fmt.Errorf("this is not the serial number of a thermometer, such as 28-0123456789ab; %s", others)
	}
	return sysfs.Look{}, fmt.Errorf("%w: it is on no line; %s", drivers.ErrAbsent, others)
}

// look prefers the file that shows the bytes of the chip: the other one hides
// what the chip says wrongly.
func (th *thermometer) look(dir string) (sysfs.Look, error) {
	read := th.bytes
	th.file = filepath.Join(dir, "w1_slave")
	if ok, err := th.exists(); err != nil {
		return sysfs.Look{}, err
	} else if !ok {
		th.file, read = filepath.Join(dir, "temperature"), th.number
	}
	return sysfs.Look{Channels: []sysfs.Channel{{Quantity: drivers.Quantity{Name: "temperature", Unit: "Cel"}, Read: read}}}, nil
}

// exists does not read the file: that would take a conversion.
func (th *thermometer) exists() (bool, error) {
	names, err := filepath.Glob(th.file)
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", th.file, err)
	}
	return len(names) > 0, nil
}

// bytes reads w1_slave. The kernel leaves it empty when a signal came between
// it and the chip, so it is read a second time then.
func (th *thermometer) bytes() (v float64, doubt string, err error) {
	var buf [256]byte
	text, err := th.hand.Read(th.file, buf[:])
	if errors.Is(err, sysfs.ErrEmpty) {
		text, err = th.hand.Read(th.file, buf[:])
	}
	if err != nil {
		return 0, "", err
	}
	pad, milli, err := parse(text)
	if err != nil {
		return 0, "", fmt.Errorf("%s: %w", th.file, err)
	}
	v = milli / 1000
	doubt, err = th.judge(pad, v)
	if err == nil && doubt == "" {
		th.past.keep(th.key, v)
	}
	return v, doubt, err
}

var (
	errPowerOn = errors.New("85 Cel is what such a chip says when it was just powered and has not measured")
	errZeros   = errors.New("every byte of the chip is 0, which its checksum does not show: it did not answer")
	errOnes    = errors.New("every byte of the chip is ff: nothing drives the line")
	errFault   = errors.New("the chip says that its thermocouple is open or shorted")
)

// What may be true, and may be not.
const (
	maybePowerOn = "exactly 85 Cel is also what such a chip says when it was just powered"
	maybeNothing = "exactly 0 Cel is also what the kernel shows of a chip that did not answer"
)

// powerOn, in Cel, is in the chip's register until it has measured.
const powerOn = 85

// remain is what byte 6 of a chip holds after power-up. A real measurement
// whose last digit is 4/16 leaves the same there, so it says nothing alone.
const remain = 0x0c

// near, in Cel: a chip does not lose its power, and the place its temperature.
const near = 5

// judge refuses or doubts what a chip says when it has nothing to say.
func (th *thermometer) judge(pad [9]byte, v float64) (doubt string, err error) {
	least, greatest := -55.0, 125.0
	couple := th.family == "3b" && pad[4]&0x80 != 0 // MAX31850, a thermocouple
	if couple {
		least, greatest = -270, 1800
	}
	switch {
	case pad == [9]byte{}:
		return "", errZeros
	case pad == [9]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}:
		return "", errOnes
	case couple && pad[0]&1 != 0:
		return "", errFault
	case v < least || v > greatest:
		return "", beyond(v, least, greatest)
	case v != powerOn || couple:
		return "", nil
	case pad[6] == remain:
		return "", errPowerOn
	}
	// The chip shows that it has measured. Some that are copies always do.
	if last, known := th.past.of(th.key); known && math.Abs(last-v) <= near {
		return "", nil
	}
	return maybePowerOn, nil
}

func beyond(v, least, greatest float64) error {
	return fmt.Errorf("%v Cel is beyond what the chip measures, %v to %v", v, least, greatest)
}

// number reads the file temperature, which has no bytes to judge by.
func (th *thermometer) number() (v float64, doubt string, err error) {
	milli, err := th.hand.Number(th.file)
	if err != nil {
		return 0, "", err
	}
	v = milli / 1000
	switch {
	case v < -55 || v > 125:
		return 0, "", beyond(v, -55, 125)
	case v == powerOn:
		return v, maybePowerOn, nil
	case v == 0:
		return v, maybeNothing, nil
	}
	return v, "", nil
}

// A memory has the last good value of each thermometer, over its losses too.
type memory struct {
	mu   sync.Mutex
	last map[string]float64
}

func (m *memory) of(key string) (v float64, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, known = m.last[key]
	return v, known
}

func (m *memory) keep(key string, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last[key] = v
}
