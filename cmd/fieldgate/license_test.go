package main

import (
	"os"
	"strings"
	"testing"
)

// The licence is there, and is the one that the packages name.
func TestLicense(t *testing.T) {
	for path, want := range map[string]string{
		"../../LICENSE": "Apache License\n                           Version 2.0", "../../packaging/copyright": "License: Apache-2.0\n",
	} {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, or it does not say %q", path, err, want)
		}
	}
}
