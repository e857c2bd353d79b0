package main

import (
	"testing"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// Every -h says what counts without a flag, and in which unit a time is given.
func TestHelpSaysDefaultsAndUnits(t *testing.T) {
	e2e.CheckHelp(t, &commands{}, cli.Help)
}
