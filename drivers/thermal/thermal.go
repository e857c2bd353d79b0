// Package thermal reads the zones that the kernel watches for heat, in
// /sys/class/thermal (Documentation/driver-api/thermal/sysfs-api.rst of
// Linux).
package thermal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sysfs"
)

// Driver is the row for the table.
func Driver() drivers.Driver {
	opener := &sysfs.Opener{}
	return drivers.Driver{
		Name:       "thermal",
		Doc:        "a thermal zone of the kernel, such as the processor's",
		Bus:        drivers.BusNone,
		Interval:   10 * time.Second,
		Timeout:    2 * time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}},
		Options: []drivers.Option{{
			Name: "sensor", Default: "cpu-thermal",
			Doc: "The type of the zone, as /sys/class/thermal/thermal_zone*/type shows it.",
		}},
		Files: map[string]string{
			"sys/class/thermal/thermal_zone0/type": "cpu-thermal\n", "sys/class/thermal/thermal_zone0/temp": "25178\n",
		},
		Open: func(ctx context.Context, t drivers.Target) (drivers.Sensor, error) { return opener.Open(ctx, t, look) },
	}
}

// look finds the one zone of the wanted type.
func look(h *sysfs.Hand, root, want string) (sysfs.Look, error) {
	files, err := filepath.Glob(filepath.Join(root, "sys/class/thermal/thermal_zone[0-9]*/type"))
	if err != nil {
		return sysfs.Look{}, fmt.Errorf("list zones: %w", err)
	}
	var fit, all []string
	var trouble error
	for _, file := range files {
		kind, err := h.Text(file)
		switch {
		case err != nil:
			trouble = errors.Join(trouble, err)
		case kind == want:
			fit = append(fit, file)
		}
		all = append(all, kind)
	}
	slices.Sort(all)
	switch {
	case len(fit) > 1:
		return sysfs.Look{}, fmt.Errorf("there are %d zones of the type %s, and only their numbers tell them apart", len(fit), want)
	case len(fit) == 0 && trouble != nil:
		return sysfs.Look{}, fmt.Errorf("find the zone: %w", trouble)
	case len(fit) == 0:
		return sysfs.Look{}, fmt.Errorf("%w: the kernel has no such zone, only %q", drivers.ErrAbsent, strings.Join(all, ", "))
	}
	file := filepath.Join(filepath.Dir(fit[0]), "temp")
	return sysfs.Look{
		Same: h.Same(fit[0], want),
		Channels: []sysfs.Channel{{
			Quantity: drivers.Quantity{Name: "temperature", Unit: "Cel"},
			Read: func() (float64, string, error) {
				v, err := temperature(h, file)
				return v, "", err
			},
		}},
	}, nil
}

// absoluteZero, in thousandths of a degree. The kernel says -274000 where a
// zone has no temperature (THERMAL_TEMP_INVALID).
const absoluteZero = -273150

func temperature(h *sysfs.Hand, file string) (float64, error) {
	v, err := h.Number(file)
	if err != nil {
		return 0, err
	}
	if v < absoluteZero {
		return 0, fmt.Errorf("%s says %v, which means that the zone has no temperature", file, v)
	}
	return v / 1000, nil
}
