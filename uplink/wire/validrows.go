package wire

import (
	"errors"
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
)

func validRows(rows []Row) error {
	for i := range rows {
		r := &rows[i]
		if err := errors.Join(validRow(r.Device, r.Quantity, r.Unit), validStamp(r.Timestamp, r.Quality, r.Time)); err != nil {
			return fmt.Errorf("reading %d: %w", i, err)
		}
		if !finite(r.Value) {
			return fmt.Errorf("reading %d: value is not a number", i)
		}
	}
	return nil
}

// validThinned checks rows that stand for n readings together.
func validThinned(rows []ThinnedRow, n uint64) error {
	var sum uint64
	for i := range rows {
		r := &rows[i]
		if err := errors.Join(validRow(r.Device, r.Quantity, r.Unit), validStamp(r.Timestamp, r.Quality, r.Time)); err != nil {
			return fmt.Errorf("thinned row %d: %w", i, err)
		}
		if !(r.IntervalS > 0 && finite(&r.IntervalS)) || !finite(r.Min) || !finite(r.Max) || !finite(r.Mean) {
			return fmt.Errorf("thinned row %d: interval_s, min, max or mean is out of range", i)
		}
		if r.Count < 1 || r.Count > n-sum {
			return fmt.Errorf("thinned row %d: a count of %d does not fit n %d", i, r.Count, n)
		}
		sum += r.Count
	}
	if len(rows) > 0 && sum != n {
		return fmt.Errorf("thinned rows count %d readings, n is %d", sum, n)
	}
	return nil
}

func validRow(device, quantity, unit string) error {
	if !gateway.ValidID(device) || !gateway.ValidID(quantity) {
		return fmt.Errorf("device_id is %.80q and quantity %.80q", device, quantity)
	}
	return validUnit(unit)
}

func validUnit(unit string) error {
	if len(unit) > 64 {
		return errors.New("unit is longer than 64 bytes")
	}
	return nil
}

// validStamp takes a time that cannot be read: what carries it is an update,
// whose sender must learn which one it was.
func validStamp(at Time, quality, clock string) error {
	switch {
	case at == 0:
		return errors.New("timestamp is missing")
	case !validReadingQuality(quality):
		return fmt.Errorf("quality is %.40q", quality)
	case !validClockName(clock):
		return fmt.Errorf("time is %.40q", clock)
	}
	return nil
}

func validReadingQuality(name string) bool {
	for q := gateway.Good; q <= gateway.Simulated; q++ {
		if q.String() == name {
			return true
		}
	}
	return false
}

func validClockName(name string) bool {
	for q := gateway.ClockNone; q <= gateway.ClockNTP; q++ {
		if q.String() == name {
			return true
		}
	}
	return false
}
