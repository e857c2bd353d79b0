package iio

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldgate/fieldgate/drivers/sysfs"
)

// A kind is one sort of channel. The kernel's number times and by what is here
// is in the unit.
type kind struct {
	files, name, unit string
	times, by         float64
	bare              string // the unit without a scale; "": then none is known
}

// kinds are those of sysfs-bus-iio whose unit is one of SenML. Angular
// velocities (rad/s) have none there.
var kinds = []kind{
	{"temp", "temperature", "Cel", 1, 1e3, ""},                      // thousandths of a degree Celsius
	{"humidityrelative", "humidity", "%RH", 1, 1e3, ""},             // thousandths of a percent
	{"pressure", "pressure", "Pa", 1e3, 1, ""},                      // kilopascal
	{"concentration", "concentration", "/", 1, 100, ""},             // percent
	{"massconcentration", "massconcentration", "kg/m3", 1, 1e9, ""}, // micrograms per cubic metre
	{"illuminance", "illuminance", "lx", 1, 1, ""},                  // lux
	{"intensity", "intensity", "/", 1, 1, "/"},                      // no unit
	{"uvindex", "uvindex", "/", 1, 1, "/"},                          // no unit
	{"colortemp", "colortemp", "K", 1, 1, ""},                       // kelvin
	{"voltage", "voltage", "V", 1, 1e3, ""},                         // millivolt
	{"current", "current", "A", 1, 1e3, ""},                         // milliampere
	{"power", "power", "W", 1, 1e3, ""},                             // milliwatt
	{"energy", "energy", "J", 1, 1, ""},                             // joule
	{"resistance", "resistance", "Ohm", 1, 1, ""},                   // ohm
	{"capacitance", "capacitance", "F", 1, 1e9, ""},                 // nanofarad
	{"electricalconductivity", "conductivity", "S/m", 1, 1, ""},     // siemens per metre
	{"ph", "ph", "pH", 1, 1, ""},                                    // pH
	{"distance", "distance", "m", 1, 1, ""},                         // metre
	{"proximity", "proximity", "m", 1, 1, "/"},                      // metre with a scale, else none
	{"velocity", "velocity", "m/s", 1, 1, ""},                       // metre per second
	{"accel", "acceleration", "m/s2", 1, 1, ""},                     // metre per second squared
	{"gravity", "gravity", "m/s2", 1, 1, ""},                        // metre per second squared
	{"magn", "magnetic", "T", 1, 1e4, ""},                           // gauss
	{"angl", "angle", "rad", 1, 1, ""},                              // radian
	{"incli", "inclination", "rad", math.Pi, 180, ""},               // degree
	{"rot", "rotation", "rad", math.Pi, 180, ""},                    // degree
	{"count", "count", "count", 1, 1, "count"},                      // no unit
	{"steps", "steps", "count", 1, 1, "count"},                      // no unit
	{"volumeflow", "flow", "m3/s", 1, 1e3, ""},                      // litre per second
}

func (k kind) rank() int { return slices.Index(kinds, k) }

// A name is that of a channel's files, taken apart:
// in_<type>[<index>][-<type><second>][_<part>].
type name struct {
	file   string // "in_voltage0-voltage1", "in_magn_x"
	kind   kind
	index  int    // -1: it has none
	second string // of the other end of a differential channel, "1"; "": it has one end
	part   string // modifier and further name: "x", "supply"; "": none
}

var form = regexp.MustCompile(`^in_([a-z]+)(\d*)(?:-([a-z]+)(\d+))?(?:_(.+))?$`)

// notValues are ends of names that look like a channel's, and are not its
// value now; a quaternion is four numbers.
var notValues = []string{"peak", "trough", "mean", "quadrature_correction", "quaternion"}

func parse(file string) (name, bool) {
	m := form.FindStringSubmatch(file)
	if m == nil || m[3] != "" && m[3] != m[1] {
		return name{}, false
	}
	k := slices.IndexFunc(kinds, func(k kind) bool { return k.files == m[1] })
	other := slices.ContainsFunc(notValues, func(end string) bool { return m[5] == end || strings.HasSuffix(m[5], "_"+end) })
	if k < 0 || other {
		return name{}, false
	}
	n := name{file: file, kind: kinds[k], index: -1, second: m[4], part: m[5]}
	if m[2] != "" {
		index, err := strconv.Atoi(m[2])
		if err != nil {
			return name{}, false
		}
		n.index = index
	}
	return n, true
}

// number is what comes behind the kind in the name of the quantity: "0",
// "0-1", "_x".
func (n name) number() string {
	text := ""
	if n.index >= 0 {
		text = strconv.Itoa(n.index)
	}
	if n.second != "" {
		text += "-" + n.second
	}
	const room = 40
	if word := sysfs.Word(n.part, room); word != "" {
		text += "_" + word
	}
	return text
}

// shared gives the file that holds the scale or offset of the channel: its
// own, or the nearest one that it shares with others; "" if there is none.
func (n name) shared(files map[string]bool, what string) string {
	every := "in_" + n.kind.files // all of the kind
	if n.second != "" {
		every += "-" + n.kind.files
	}
	for _, file := range []string{n.file + "_" + what, every + "_" + n.part + "_" + what, every + "_" + what, "in_" + what, what} {
		if files[file] {
			return file
		}
	}
	return ""
}
