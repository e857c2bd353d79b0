package config

import (
	"fmt"

	"github.com/fieldgate/fieldgate/drivers"
)

// spotOf names an address on a bus.
func spotOf(address int64, bus string) string {
	return fmt.Sprintf("address %#02x on %s", address, bus)
}

// apart tells if a device on a bus and one behind a multiplexer of that bus
// have one address: both would answer. The same holds for the multiplexer
// itself. at is the place of the last key that put the device there.
func (r *deviceReader) apart(path string, d *Device, at place) {
	c, behind := drivers.ParseChannel(d.Bus)
	if !behind {
		spot := spotOf(d.Address, d.Bus)
		if first := r.behind[spot]; first != nil {
			r.col.add(at, path, "%s is that of device %q too, which is behind a multiplexer of this bus: both would answer", spot, first.ID)
		}
		if first := r.muxes[spot]; first != nil {
			r.col.add(at, path, "%s is that of the multiplexer before device %q", spot, first.ID)
		}
		return
	}
	mux, same := spotOf(int64(c.Mux), c.Bus), spotOf(d.Address, c.Bus)
	if first := r.places[same]; first != nil {
		r.col.add(at, path, "%s is that of device %q too, which is on the bus before the multiplexer: both would answer", same, first.ID)
	}
	if first := r.places[mux]; first != nil {
		r.col.add(at, path, "%s is device %q, so no multiplexer can be there", mux, first.ID)
	}
	r.behind[same], r.muxes[mux] = d, d
}
