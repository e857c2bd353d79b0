package main

import (
	"errors"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/uplink/cloud"
)

func TestAdmissionFlags(t *testing.T) {
	good := admissionFlags{UpgradesPerSecond: 5, UpgradesPerAddress: -1, MaxSessions: 7, DrainSpan: time.Minute}
	var o cloud.Options
	if err := good.set(&o); err != nil {
		t.Fatal(err)
	}
	if o.Admission.PerSecond != 5 || o.Admission.PerAddress != -1 || o.Admission.Sessions != 7 || o.DrainSpan != time.Minute {
		t.Errorf("options %+v", o)
	}
	for name, spoil := range map[string]func(*admissionFlags){
		"no upgrades":          func(f *admissionFlags) { f.UpgradesPerSecond = 0 },
		"fewer than any":       func(f *admissionFlags) { f.UpgradesPerSecond = -2 },
		"none from an address": func(f *admissionFlags) { f.UpgradesPerAddress = 0 },
		"no sessions":          func(f *admissionFlags) { f.MaxSessions = 0 },
		"no span":              func(f *admissionFlags) { f.DrainSpan = 0 },
	} {
		f := good
		spoil(&f)
		if err := f.set(&cloud.Options{}); !errors.Is(err, cli.ErrUsage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
