package main

import (
	"testing"

	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/systemd"
)

// Every -h says what counts without a flag, and in which unit a time is given.
func TestHelpSaysDefaultsAndUnits(t *testing.T) {
	e2e.CheckHelp(t, &cli{}, systemd.Help)
}
