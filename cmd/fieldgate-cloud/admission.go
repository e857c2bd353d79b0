package main

import (
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/uplink/cloud"
)

// admissionFlags bound how gateways come in, and how they leave at a restart.
type admissionFlags struct {
	UpgradesPerSecond  int           `default:"200" placeholder:"N" help:"How many gateways may connect in a second. More are asked to come back later. -1: any number."`
	UpgradesPerAddress int           `default:"1200" placeholder:"N" help:"How many connections one address may open in a minute. Raise it behind a proxy, or if thousands of gateways share an address. -1: any number."`
	MaxSessions        int           `default:"50000" placeholder:"N" help:"How many gateways may be connected at the same time."`
	DrainSpan          time.Duration `default:"60s" placeholder:"DURATION" help:"At a restart, the gateways come back spread over at most this time. Few gateways come back sooner."`
}

// set puts the flags into options, or says which of them cannot be.
func (f admissionFlags) set(o *cloud.Options) error {
	switch {
	case f.UpgradesPerSecond == 0, f.UpgradesPerSecond < -1:
		return fmt.Errorf("%w: --upgrades-per-second %d: want 1 or more, or -1", cli.ErrUsage, f.UpgradesPerSecond)
	case f.UpgradesPerAddress == 0, f.UpgradesPerAddress < -1:
		return fmt.Errorf("%w: --upgrades-per-address %d: want 1 or more, or -1", cli.ErrUsage, f.UpgradesPerAddress)
	case f.MaxSessions < 1:
		return fmt.Errorf("%w: --max-sessions %d: want 1 or more", cli.ErrUsage, f.MaxSessions)
	case f.DrainSpan <= 0:
		return fmt.Errorf("%w: --drain-span %s: want more than nothing", cli.ErrUsage, f.DrainSpan)
	}
	o.Admission.PerSecond, o.Admission.PerAddress, o.Admission.Sessions = f.UpgradesPerSecond, f.UpgradesPerAddress, f.MaxSessions
	o.DrainSpan = f.DrainSpan
	return nil
}
