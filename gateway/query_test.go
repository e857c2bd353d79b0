package gateway

import (
	"strings"
	"testing"
	"time"
)

func TestQueriesTakeWhatTheirRouteTakes(t *testing.T) {
	for raw, words := range map[string]string{
		"":                        "",
		"from=-1h":                "",
		"channel=a&channel=b":     "",
		"from=-1h&channel=a":      "",
		"frm=-1h":                 `"frm"`,
		"From=-1h":                `"From"`,
		"from=-1h&from=-2h":       "2 times",
		"from=":                   "is empty",
		"from":                    "is empty",
		"channel=a&channel=":      "is empty",
		"from=%zz":                "cannot be read",
		"from=-1h;channel=a":      "cannot be read",
		"=x":                      `""`,
		"from=-1h&&channel=a":     "",
		strings.Repeat("x", 1000): `"` + strings.Repeat("x", 40) + `"`,
	} {
		_, err := Query(raw, "from", "channel*")
		if words == "" && err != nil || words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
			t.Errorf("%.50q: %v, want %q", raw, err, words)
		}
	}
	if _, err := Query("a=1"); err == nil || !strings.Contains(err.Error(), "takes none") {
		t.Error(err)
	}
}

func TestMoments(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-11-23T06:00:00Z":           "2026-11-23T06:00:00Z",
		"2026-11-23T06:00:00+01:00":      "2026-11-23T05:00:00Z",
		"2026-11-23T06:00:00 01:00":      "2026-11-23T05:00:00Z", // a plus that was not written as %2B
		"2026-11-23T06:00:00.5 05:30":    "2026-11-23T00:30:00.5Z",
		"2026-11-23T06:00:00-01:00":      "2026-11-23T07:00:00Z",
		"-24h":                           "2026-11-24T12:00:00Z",
		"0s":                             "2026-11-25T12:00:00Z",
		"24h":                            "",
		" 24h":                           "",
		"2026-11-23":                     "",
		"2026-11-23 06:00:00Z":           "",
		"2026-11-23T06:00:00":            "",
		"2026-11-23T06:00:00  01:00":     "",
		"yesterday":                      "",
		"2026-11-23T06:00:00 01:00 x":    "",
		"2026-11-23T06:00:00%2B01:00":    "",
		"-10000000000h":                  "",
		"1764052800":                     "",
		"2026-13-23T06:00:00+01:00":      "",
		"2026-11-23T06:00:00.123456789Z": "2026-11-23T06:00:00.123456789Z",
	} {
		got, err := ParseMoment(text, now)
		if want == "" && err == nil || want != "" && (err != nil || got.Format(time.RFC3339Nano) != want) {
			t.Errorf("%q: %v (%v), want %q", text, got, err, want)
		}
	}
}
