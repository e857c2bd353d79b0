package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/fieldgate/fieldgate/drivers"
)

// A deviceReader reads the [[device]] tables and checks them against the
// table of drivers and against each other.
type deviceReader struct {
	*decoder
	table []drivers.Driver
	cfg   *Config

	ids    map[string]place   // of devices
	places map[string]*Device // by bus and address, or chip and line
	behind map[string]*Device // by address, and the bus before their multiplexer
	muxes  map[string]*Device // one behind each multiplexer, by its bus and address
	at     map[*Device]place  // where their ids stand
}

// read fills cfg.Devices from the root of the tree.
func (r *deviceReader) read(root *node) {
	list := root.table["device"]
	if list == nil || list.kind == unstable.Invalid {
		return
	}
	if list.kind != unstable.ArrayTable {
		r.col.add(list.keyAt, "device", "each device is a list element of its own: write [[device]], with two brackets")
		return
	}
	r.ids, r.places, r.at = map[string]place{}, map[string]*Device{}, map[*Device]place{}
	r.behind, r.muxes = map[string]*Device{}, map[string]*Device{}
	for i, n := range list.items {
		if d := r.device(n, i); d != nil {
			r.cfg.Devices = append(r.cfg.Devices, *d)
		}
	}
}

// label names the i-th element of a list of tables in a path: by its own
// name if that is a valid one, else by its number.
func label(list string, n *node, key string, i int) string {
	if v := n.table[key]; v != nil && v.kind == unstable.String && checkID(v.text) == nil {
		return fmt.Sprintf("%s[%s]", list, v.text)
	}
	return fmt.Sprintf("%s[%d]", list, i+1)
}

// device reads one [[device]]; what it gives is valid only if no problem was
// told.
func (r *deviceReader) device(n *node, i int) *Device {
	path := label("device", n, "id", i)
	d := &Device{Options: map[string]any{}}
	setDefaults(reflect.ValueOf(d).Elem())
	known := append(r.fields(n, path, reflect.ValueOf(d).Elem()), "channel")
	if id := n.table["id"]; id != nil && d.ID != "" {
		if first, used := r.ids[d.ID]; used {
			r.col.add(id.at, path+".id", "the device at %s has this name already", first)
		} else {
			r.ids[d.ID] = id.at
		}
	}
	drv := r.driver(n, path)
	if drv == nil {
		// Which keys an unknown driver has is unknown, so any driver's pass.
		for _, t := range r.table {
			for _, o := range t.Options {
				known = append(known, o.Name)
			}
		}
		drv = &drivers.Driver{}
	} else {
		known = append(known, r.options(n, path, drv, d)...)
		r.place(n, path, drv, d)
	}
	r.supply(n, path, d)
	r.unknown(n, path, known)
	if n.table["interval"] == nil {
		d.Interval = drv.Interval
	}
	if n.table["timeout"] == nil {
		d.Timeout = drv.Timeout
	}
	r.channels(n, path, drv, d)
	return d
}

// driver finds the driver of a device, and tells if there is none.
func (r *deviceReader) driver(n *node, path string) *drivers.Driver {
	v := n.table["driver"]
	if v == nil || v.kind != unstable.String {
		return nil // told already
	}
	var names []string
	for i := range r.table {
		if r.table[i].Name == v.text {
			return &r.table[i]
		}
		names = append(names, r.table[i].Name)
	}
	if hint := didYouMean(v.text, names); hint != "" {
		r.col.add(v.at, path+".driver", "there is no driver %q%s", v.text, hint)
		return nil
	}
	slices.Sort(names)
	r.col.add(v.at, path+".driver", "there is no driver %q; there are %s", v.text, strings.Join(names, ", "))
	return nil
}

// options reads the driver's own keys and gives their names.
func (r *deviceReader) options(n *node, path string, drv *drivers.Driver, d *Device) []string {
	var names []string
	for _, o := range drv.Options {
		names = append(names, o.Name)
		d.Options[o.Name] = o.Default
		value := n.table[o.Name]
		if value == nil && o.Required != "" {
			r.needs(n, path, o.Name, o.Required)
		}
		if value == nil {
			continue
		}
		at := join(path, o.Name)
		t := reflect.TypeOf(o.Default)
		if want := wanted(t, value.kind); want != "" {
			r.wrongType(value, at, want)
			continue
		}
		x, err := parseText(t, value.text)
		switch {
		case err != nil:
			r.col.add(value.at, at, "%s", err)
		case o.OneOf != nil && !slices.Contains(o.OneOf, x.Interface()):
			choices := strings.Trim(fmt.Sprint(o.OneOf), "[]")
			r.col.add(value.at, at, "%s is not one of %s", value.text, strings.ReplaceAll(choices, " ", ", "))
		default:
			d.Options[o.Name] = x.Interface()
		}
	}
	return names
}

// busKeys are the keys that place a device, and whose they are.
var busKeys = []struct {
	key   string
	kinds []drivers.BusKind
}{
	{"bus", []drivers.BusKind{drivers.BusI2C, drivers.BusSPI}},
	{"address", []drivers.BusKind{drivers.BusI2C}},
	{"line", []drivers.BusKind{drivers.BusGPIO}},
	{"chip", []drivers.BusKind{drivers.BusGPIO}},
	{"active_low", []drivers.BusKind{drivers.BusGPIO}},
}

// place checks where the device is: on which bus, and that it is alone there.
func (r *deviceReader) place(n *node, path string, drv *drivers.Driver, d *Device) {
	words := map[drivers.BusKind]string{
		drivers.BusI2C:  "is on I2C, which has bus and address",
		drivers.BusSPI:  "is on SPI, which has bus",
		drivers.BusGPIO: "is on GPIO, which has line, chip and active_low",
		drivers.BusNone: "reads the board itself and needs no place",
	}[drv.Bus]
	for _, k := range busKeys {
		if v := n.table[k.key]; v != nil && !slices.Contains(k.kinds, drv.Bus) {
			r.col.add(v.keyAt, join(path, k.key), "this key is not for the driver %s: it %s", drv.Name, words)
		}
	}
	switch drv.Bus {
	case drivers.BusI2C:
		r.needs(n, path, "bus", `which bus it is on, such as "i2c-1"`)
		r.address(n, path, drv, d)
		r.kindOfBus(n, path, drv, d)
		if d.Bus != "" && d.Address != 0 {
			r.alone(n, path, d, spotOf(d.Address, d.Bus))
		}
	case drivers.BusSPI:
		r.needs(n, path, "bus", `which SPI port it is on, such as "spi-0.0"`)
		r.kindOfBus(n, path, drv, d)
		if d.Bus != "" {
			r.alone(n, path, d, d.Bus)
		}
	case drivers.BusGPIO:
		r.needs(n, path, "line", `the name of its GPIO line, such as "GPIO17"`)
		if v := n.table["line"]; v != nil && v.kind == unstable.String && v.text == "" {
			r.col.add(v.at, path+".line", `this must be the name of a GPIO line, such as "GPIO17"`)
		}
		if d.Line != "" {
			r.alone(n, path, d, strings.TrimSpace("line "+d.Line+" "+d.Chip))
		}
	}
}

// supply tells if the line that switches the supply is used by another device.
func (r *deviceReader) supply(n *node, path string, d *Device) {
	if d.Power.Line == "" {
		return
	}
	at, spot := n.table["power"].table["line"].at, strings.TrimSpace("line "+d.Power.Line+" "+d.Power.Chip)
	first := r.places[spot]
	if first == nil {
		r.places[spot], r.at[d] = d, at
		return
	}
	r.col.add(at, path+".power.line", "device %s and device %s (%s) both use %s",
		strconv.Quote(d.ID), strconv.Quote(first.ID), r.at[first], spot)
}

// kindOfBus tells if the bus is an SPI port and the driver on I2C, or the other
// way round.
func (r *deviceReader) kindOfBus(n *node, path string, drv *drivers.Driver, d *Device) {
	if d.Bus == "" || isSPI(d.Bus) == (drv.Bus == drivers.BusSPI) {
		return
	}
	want := `i2c-N`
	if drv.Bus == drivers.BusSPI {
		want = `spi-N.C`
	}
	r.col.add(n.table["bus"].at, path+".bus", "%s is no bus for the driver %s, which wants %s", d.Bus, drv.Name, want)
	d.Bus = ""
}

func (r *deviceReader) needs(n *node, path, key, words string) {
	if n.table[key] == nil {
		r.col.add(n.at, join(path, key), "this key is missing: %s", words)
	}
}

// address checks d.Address, and sets it to the driver's when it is not given.
func (r *deviceReader) address(n *node, path string, drv *drivers.Driver, d *Device) {
	v := n.table["address"]
	if v == nil {
		d.Address = int64(drv.Address)
		if d.Address == 0 {
			r.needs(n, path, "address", "the driver has no usual one")
		}
		return
	}
	if v.kind != unstable.Integer {
		return // told already
	}
	// UM10204 section 3.1.12: addresses below 0x08 and above 0x77 are reserved.
	fits := d.Address >= 0x08 && d.Address <= 0x77
	if drv.Addresses != nil {
		fits = fits && slices.Contains(drv.Addresses, uint16(d.Address))
	}
	if fits {
		return
	}
	d.Address = 0
	r.bad(v, path+".address", "%s is no address of %s, which can have %s", v.text, drv.Name, addressList(drv.Addresses))
}

// addressList names addresses, runs of them as from-to.
func addressList(as []uint16) string {
	if as == nil {
		return "0x08-0x77"
	}
	as = slices.Sorted(slices.Values(as))
	var parts []string
	for i := 0; i < len(as); {
		j := i
		for j+1 < len(as) && as[j+1] == as[j]+1 {
			j++
		}
		part := fmt.Sprintf("%#02x", as[i])
		if j > i {
			part += fmt.Sprintf("-%#02x", as[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// alone tells if another device is at the same spot, and points to the last
// of the keys that put this one there.
func (r *deviceReader) alone(n *node, path string, d *Device, spot string) {
	at := n.at
	for _, key := range []string{"bus", "address", "line"} {
		if v := n.table[key]; v != nil {
			at = v.at
		}
	}
	if d.Address != 0 {
		r.apart(path, d, at)
	}
	first := r.places[spot]
	if first == nil {
		r.places[spot], r.at[d] = d, at
		return
	}
	r.col.add(at, path, "device %s and device %s (%s) are both at %s", strconv.Quote(d.ID), strconv.Quote(first.ID), r.at[first], spot)
}

// channels reads the [[device.channel]] of a device.
func (r *deviceReader) channels(n *node, path string, drv *drivers.Driver, d *Device) {
	list := n.table["channel"]
	if list == nil || list.kind == unstable.Invalid {
		return
	}
	if list.kind != unstable.ArrayTable {
		r.col.add(list.keyAt, path+".channel", "each channel is a list element of its own: write [[device.channel]], with two brackets")
		return
	}
	seen := map[string]place{}
	for i, item := range list.items {
		at := join(path, label("channel", item, "quantity", i))
		var c Channel
		setDefaults(reflect.ValueOf(&c).Elem())
		r.unknown(item, at, r.fields(item, at, reflect.ValueOf(&c).Elem()))
		if v := item.table["scale"]; v != nil && c.Scale == 0 {
			r.col.add(v.at, at+".scale", "a scale of 0 makes every value 0")
		}
		if v := item.table["quantity"]; v != nil && c.Quantity != "" {
			r.quantity(v, at, drv, seen)
		}
		r.total(item, at, drv, c)
		d.Channels = append(d.Channels, c)
	}
}

// total refuses what would change a total: it goes on from the reading that was
// stored last, so what is stored is what was counted.
func (r *deviceReader) total(n *node, at string, drv *drivers.Driver, c Channel) {
	if !slices.ContainsFunc(drv.Quantities, func(q drivers.Quantity) bool { return q.Total && q.Name == c.Quantity }) {
		return
	}
	for _, key := range []string{"scale", "offset"} {
		if v := n.table[key]; v != nil {
			r.col.add(v.at, join(at, key), "%s is a total, which is stored as it was counted: what goes on after a restart is the last "+
				"one stored", c.Quantity)
		}
	}
	if v := n.table["deadband"]; v != nil && c.Deadband >= 1 {
		r.col.add(v.at, join(at, "deadband"), "%s is a total, and a power cut costs the pulses that a deadband leaves out: it must be "+
			"below 1", c.Quantity)
	}
}

// quantity checks that the driver has the quantity, and that it is set once.
func (r *deviceReader) quantity(v *node, at string, drv *drivers.Driver, seen map[string]place) {
	if names := drv.Names(); names != nil && !slices.Contains(names, v.text) {
		r.bad(v, at+".quantity", "the driver %s has no quantity %q, only %s%s",
			drv.Name, v.text, strings.Join(names, ", "), didYouMean(v.text, names))
	}
	if first, used := seen[v.text]; used {
		r.col.add(v.at, at+".quantity", "this device has a channel for %s already, at %s", v.text, first)
		return
	}
	seen[v.text] = v.at
}
