package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// decodeStrict reads one JSON object into v. Keys that v does not have, keys
// that come twice and anything behind the object are errors.
func decodeStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("decode JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind the object")
	}
	return noKeyTwice(json.NewDecoder(bytes.NewReader(b)))
}

// noKeyTwice walks through the outermost object. encoding/json also takes keys
// in another case: here they must be as they are documented.
func noKeyTwice(d *json.Decoder) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("it is not an object")
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return errors.New("it is not an object")
		}
		switch {
		case strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") != "":
			return fmt.Errorf("unknown key %.40q", key)
		case seen[key]:
			return fmt.Errorf("key %.40q comes twice", key)
		}
		seen[key] = true
		var skipped json.RawMessage
		if err := d.Decode(&skipped); err != nil {
			return fmt.Errorf("decode JSON: %w", err)
		}
	}
	return nil
}
