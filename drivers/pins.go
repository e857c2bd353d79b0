package drivers

import (
	"fmt"
	"slices"
	"strings"
)

// Pins gives the bits of the pins that an option lists by name, "a0 a1 b7", or
// "all" of them. Names have their bits by their place; there are at most 32.
func Pins(list string, names []string) (uint32, error) {
	if list == "all" {
		return 1<<len(names) - 1, nil
	}
	bits := uint32(0)
	for _, name := range strings.Fields(list) {
		i := slices.Index(names, name)
		if i < 0 {
			return 0, fmt.Errorf("no pin %q: there are all or %s", name, strings.Join(names, " "))
		}
		bits |= 1 << i
	}
	return bits, nil
}
