package main

import (
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// The cellar of the demo hangs together: what flows back is colder than what
// flows out, follows it, and the flue is hot only while the burner burns.
func TestCellarIsBelievable(t *testing.T) {
	for at := -burnEvery; at < 3*burnEvery; at += time.Second {
		step := math.Abs(flow(at+time.Second) - flow(at))
		if w, r := flow(at), returns(at); w < 45 || w > 80 || r > w-5 || r < roomCel || step > 0.5 {
			t.Fatalf("after %v: flow %v, return %v, a step of %v", at, w, r, step)
		}
		if rising := flow(at+time.Second) > flow(at); rising != (phase(at) < burnFor) {
			t.Fatalf("after %v the burner burns: %v, the water gets warmer: %v", at, phase(at) < burnFor, rising)
		}
	}
	if hot, cold := flue(burnFor), flue(0); hot < 150 || cold > 80 {
		t.Errorf("the flue is between %v and %v", cold, hot)
	}
}

// Every device of the demo is a chip of a driver of its own, moves by a curve
// of the cellar, and gives what the curve says.
func TestCellarThroughTheChips(t *testing.T) {
	cfg, err := demoCommand{Listen: "127.0.0.1:0", CloudListen: "127.0.0.1:1"}.config(t.TempDir(), "/token", "/ca")
	if err != nil {
		t.Fatal(err)
	}
	r := newRack(cfg.Devices)
	r.scene = cellar
	used, chips := map[string]bool{}, 0
	for _, d := range r.plan() {
		if d.Bus == "" || d.Bus == "sim-gpio" {
			continue
		}
		chips++
		if used[d.Driver] || cellarCurves[d.ID] == nil {
			t.Errorf("%s: the driver %s is there twice, or the cellar knows nothing of it", d.ID, d.Driver)
		}
		used[d.Driver] = true
		visited, err := sample.Once(t.Context(), sample.Options{Devices: []sample.Device{d}, OpenBus: r.openBus,
			Stamp: func() gateway.Stamp { return 0 }, Health: health.New(slog.New(slog.DiscardHandler))})
		if err != nil {
			t.Errorf("%s: %v", d.ID, err)
		}
		for _, x := range visited.Readings {
			curve := cellarCurves[d.ID][x.Channel.Quantity]
			if curve == nil {
				continue // calculated from the others
			}
			if want := curve(r.clock()); math.Abs(x.Value-want) > 0.02*math.Abs(want)+0.5 {
				t.Errorf("%s gives %v %s, want %v", d.ID, x.Value, x.Channel.Quantity, want)
			}
		}
		if len(visited.Notes) > 0 || len(visited.Readings) != len(d.Quantities) {
			t.Errorf("%s: %d readings, doubts %v", d.ID, len(visited.Readings), visited.Notes)
		}
	}
	if chips < 8 {
		t.Errorf("%d chips", chips)
	}
}
