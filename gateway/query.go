package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Query reads the query of a request by what its route takes: names of
// parameters that may be there once, and with a star behind it ("channel*")
// more often. Whatever else is there is an error that says what is taken: a
// name that is misspelt would ask for more than was meant.
func Query(raw string, takes ...string) (url.Values, error) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("the query cannot be read: write name=value, with & between, " +
			"and % and two hex digits for characters that are not letters")
	}
	for name, values := range q {
		once, often := slices.Contains(takes, name), slices.Contains(takes, name+"*")
		switch {
		case !once && !often:
			return nil, unknownParameter(name, takes)
		case once && len(values) > 1:
			return nil, fmt.Errorf("%s is there %d times: give it once", name, len(values))
		case slices.Contains(values, ""):
			return nil, fmt.Errorf("%s is empty: give it a value, or leave it out", name)
		}
	}
	return q, nil
}

func unknownParameter(name string, takes []string) error {
	if len(takes) == 0 {
		return fmt.Errorf("there is no parameter %.40q: this address takes none", name)
	}
	return fmt.Errorf("there is no parameter %.40q: this address takes %s", name, strings.ReplaceAll(strings.Join(takes, ", "), "*", ""))
}

// ParseMoment reads a time of a query: RFC 3339, or a duration before now such
// as -24h. The plus of a zone arrives as a space from who did not write it as
// %2B.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d <= 0 {
		return now.Add(d).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.Parse(time.RFC3339, strings.Replace(text, " ", "+", 1))
	}
	if err != nil {
		return t, fmt.Errorf("%.40q is neither a time like 2026-11-25T06:00:00Z or 2026-11-25T07:00:00+01:00 nor an age like -24h", text)
	}
	return t.UTC(), nil
}
