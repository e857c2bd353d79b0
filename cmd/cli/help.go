package cli

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Help is what -h says of a flag or an argument: its own sentence, the unit where the value is a time, and what counts
// without it.
func Help(value *kong.Value) string {
	if value.Name == "help" {
		return "Show this help."
	}
	parts := []string{value.Help}
	if value.Target.IsValid() {
		switch value.Target.Type() {
		case reflect.TypeFor[time.Duration]():
			parts = append(parts, "In units: 90s, 5m, 48h.")
		case reflect.TypeFor[time.Time]():
			parts = append(parts, "As 2026-11-01T00:00:00Z.")
		}
	}
	if value.Tag.Default != "" {
		parts = append(parts, fmt.Sprintf("Default: %s.", value.Tag.Default))
	}
	return strings.Join(parts, " ")
}
