package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A state.db is looked at by another process, and what that says is told.
func TestStateIsVerifiedByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, make([]byte, 32768), 0o600); err != nil {
		t.Fatal(err)
	}
	err := verifyState(path)
	if err == nil || !strings.Contains(err.Error(), "neither meta page makes sense") {
		t.Errorf("of a file of zeros is said: %v", err)
	}
}
