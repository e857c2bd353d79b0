package main

import (
	"testing"

	"github.com/fieldgate/fieldgate/packaging/witness"
	"github.com/fieldgate/fieldgate/systemd"
)

// Every -h says what counts without a flag, and in which unit a time is given.
func TestHelpSaysDefaultsAndUnits(t *testing.T) {
	witness.CheckHelp(t, &cli{}, systemd.Help)
}
