package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Size is a number of bytes, written "256MiB" or "1GiB" in the
// configuration.
type Size int64

// units of sizes, largest first, so that String finds the shortest form.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String gives the form of the configuration.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

// parseSize reads a whole number with a unit. Units that count in thousands
// are refused rather than guessed at.
func parseSize(text string) (Size, error) {
	for _, u := range sizeUnits {
		digits, found := strings.CutSuffix(text, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
		if err != nil || n > uint64(math.MaxInt64/u.bytes) {
			break
		}
		return Size(int64(n) * u.bytes), nil
	}
	return 0, fmt.Errorf(`%q is not a size: write a whole number with B, KiB, MiB, GiB or TiB, such as "256MiB"`, text)
}

const day = 24 * time.Hour

// parseDuration reads what time.ParseDuration reads, and whole days: "30d".
func parseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf(`%q is not a duration: write a number with ms, s, m, h or d, such as "500ms", "1m30s" or "30d"`, text)
	if digits, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || n > uint64(math.MaxInt64/day) {
			return 0, bad
		}
		return time.Duration(n) * day, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, bad
	}
	return d, nil
}

// formatDuration gives the form of the configuration, without zero parts.
func formatDuration(d time.Duration) string {
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
