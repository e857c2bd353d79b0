package hostsys

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldgate/fieldgate/drivers"
)

// probe is one temperature that the kernel shows.
type probe struct {
	name string // e.g. "cpu-thermal"
	file string // whole numbers, thousandths of a degree
}

// temperatures finds thermal zones and hwmon inputs. Their names come from
// the kernel's drivers, which do not change at a restart as numbers do; equal
// names get a number in the order of the kernel's.
func temperatures(root string) []figure {
	probes := append(thermalZones(root), hwmonInputs(root)...)
	// Stable: equal names stay in the order in which they were found.
	slices.SortStableFunc(probes, func(a, b probe) int { return cmp.Compare(a.name, b.name) })
	used := make(map[string]bool)
	figures := make([]figure, len(probes))
	for i, p := range probes {
		name := quantityName(p.name, used)
		used[name] = true
		figures[i] = figure{drivers.Quantity{Name: name, Unit: "Cel"}, milliCelsius(p.file)}
	}
	return figures
}

var notForNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// quantityName makes "temperature_…" of what the kernel calls it: a valid
// name that is not used yet.
func quantityName(kernel string, used map[string]bool) string {
	const longest = 60 // and "_" and a number: 64
	base := "temperature_" + notForNames.ReplaceAllString(kernel, "_")
	base = base[:min(len(base), longest)]
	name := base
	for n := 2; used[name]; n++ {
		name = base + "_" + strconv.Itoa(n)
	}
	return name
}

// thermalZones reads /sys/class/thermal
// (Documentation/driver-api/thermal/sysfs-api.rst).
func thermalZones(root string) (found []probe) {
	for _, dir := range numbered(filepath.Join(root, "sys/class/thermal/thermal_zone")) {
		found = append(found, probe{text(filepath.Join(dir, "type"), "zone"), filepath.Join(dir, "temp")})
	}
	return found
}

// hwmonInputs reads /sys/class/hwmon (Documentation/hwmon/sysfs-interface.rst),
// without the chips that only repeat a thermal zone.
func hwmonInputs(root string) (found []probe) {
	for _, dir := range numbered(filepath.Join(root, "sys/class/hwmon/hwmon")) {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil || strings.Contains(real, "/thermal_zone") {
			continue
		}
		chip := text(filepath.Join(dir, "name"), "hwmon")
		inputs, _ := filepath.Glob(filepath.Join(dir, "temp*_input"))
		slices.SortFunc(inputs, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
		for _, file := range inputs {
			number := strings.TrimSuffix(filepath.Base(file), "_input")
			label := text(filepath.Join(dir, number+"_label"), number)
			found = append(found, probe{chip + "_" + label, file})
		}
	}
	return found
}

// numbered lists prefix0, prefix1, … in the order of their numbers.
func numbered(prefix string) []string {
	dirs, _ := filepath.Glob(prefix + "[0-9]*")
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return dirs
}

// text reads a name from a file, or gives what stands for it.
func text(file, otherwise string) string {
	b, err := os.ReadFile(file)
	if s := strings.TrimSpace(string(b)); err == nil && s != "" {
		return s
	}
	return otherwise
}

func milliCelsius(file string) func() (float64, error) {
	return func() (float64, error) {
		b, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		milli, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		return float64(milli) / 1000, nil
	}
}
