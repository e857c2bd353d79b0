package sample

import (
	"fmt"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// calm is how many visits without a doubtful value end the condition: a value
// at the edge of what a chip can measure is told once, not at every visit.
const calm = 5

// doubt is what a device's driver doubts at present.
type doubt struct {
	value drivers.Value // the first doubtful one when it was told; Doubt is "" if none is
	quiet int           // visits since the last doubtful value
}

// quality is that of the device, but for a value that its driver doubts.
// Simulated values stay simulated.
func (d *device) quality(v drivers.Value) gateway.Quality {
	if v.Doubt != "" && d.Quality == gateway.Good {
		return gateway.Suspect
	}
	return d.Quality
}

// doubts tells when a driver begins to doubt values, and when it ceases.
func (d *device) doubts(values []drivers.Value) {
	var first drivers.Value
	for _, v := range values {
		if v.Doubt != "" {
			first = v
			break
		}
	}
	told := &d.doubted.value
	switch {
	case first.Doubt == "" && told.Doubt == "":
	case first.Doubt == "":
		if d.doubted.quiet++; d.doubted.quiet >= calm {
			d.doubted = doubt{}
			d.s.opts.Health.Clear("sensor_suspect", d.ID, fmt.Sprintf("The values of device %s are good again.", d.where()))
		}
	case first.Doubt == told.Doubt && first.Quantity == told.Quantity:
		d.doubted.quiet = 0
	default:
		d.doubted = doubt{value: first}
		d.s.opts.Health.Raise("sensor_suspect", d.ID, health.Warning, fmt.Sprintf(
			"The %s of device %s may be wrong: %s. Such readings are stored as suspect.", first.Quantity, d.where(), first.Doubt))
	}
}
