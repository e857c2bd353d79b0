package main

import (
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// A channel whose deadband leaves readings out tells for how long, so that a
// screen does not call it stale.
func TestStatusGivesDeadbandSilence(t *testing.T) {
	d := &daemon{cfg: &config.Config{Devices: []config.Device{{ID: "boiler", Channels: []config.Channel{
		{Quantity: "temperature", Scale: 1, Deadband: 0.5, MaxSilence: time.Minute},
		{Quantity: "humidity", Scale: 1, MaxSilence: time.Minute}, // no deadband: never silent
	}}}}}
	st := d.deviceStatus(sample.DeviceState{ID: "boiler", Channels: []*gateway.Channel{
		{Device: "boiler", Quantity: "temperature"}, {Device: "boiler", Quantity: "humidity"},
	}})
	if st.Channels[0].MaxSilence != 60 || st.Channels[1].MaxSilence != 0 {
		t.Errorf("channels: %+v", st.Channels)
	}
}
