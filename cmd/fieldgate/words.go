package main

import (
	"fmt"
	"strconv"
	"time"
)

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// lasting says how long something took or takes, as people say it: no more than
// two units, and none that does not matter.
func lasting(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	case d < 2*365*24*time.Hour:
		return fmt.Sprintf("%d days %d h", int(d.Hours())/24, int(d.Hours())%24)
	}
	return fmt.Sprintf("%.0f years", d.Hours()/24/365)
}

// counted gives a number with its noun.
func counted(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// withUnit gives a value as a person reads it. Units that only say "a number"
// are left out.
func withUnit(v float64, unit string) string {
	switch unit {
	case "B":
		return inBytes(v)
	case "", "1", "/":
		return strconv.FormatFloat(v, 'g', 7, 64)
	case "s":
		if v >= 120 {
			return lasting(seconds(v))
		}
	}
	return strconv.FormatFloat(v, 'g', 7, 64) + " " + unit
}

// inBytes gives a size with the largest unit that leaves a whole number before
// the point.
func inBytes(n float64) string {
	for _, u := range []string{"B", "kB", "MB", "GB"} {
		if n < 999.5 {
			return strconv.FormatFloat(n, 'f', precision(n, u), 64) + " " + u
		}
		n /= 1000
	}
	return strconv.FormatFloat(n, 'f', 1, 64) + " TB"
}

func precision(n float64, unit string) int {
	if unit == "B" || n >= 10 {
		return 0
	}
	return 1
}
