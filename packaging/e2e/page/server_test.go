package page_test

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/live"
	"github.com/fieldgate/fieldgate/gateway/local"
)

const canary = "s3cret-canary-7c1f"

// A stillClock stands still, an hour after boot, at a known wall time.
type stillClock struct{}

var testNow = time.Date(2026, 11, 23, 6, 0, 0, 123e6, time.UTC)

const testStamp = gateway.Stamp(3600e6)

func (stillClock) Stamp() gateway.Stamp { return testStamp }

func (stillClock) Anchor() gateway.Anchor {
	return gateway.Anchor{Offset: testNow.UnixMicro() - int64(testStamp), Quality: gateway.ClockNTP}
}

var boiler = &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}

// options are those of an open gateway with one device.
func options() local.Options {
	return local.Options{
		Listen:    "127.0.0.1:0",
		View:      "open",
		GatewayID: "plant-7",
		Hub:       live.New(),
		Clock:     stillClock{},
		Status: func() local.Status {
			return local.Status{
				Version: "test",
				Uplink:  local.Uplink{State: local.UplinkOnline, Endpoint: "wss://cloud.example.com/v1/gateway"},
				Devices: []local.Device{{ID: "boiler", Driver: "lm75", Bus: "sim-1", State: local.DeviceOK, Channels: []local.Channel{
					{Quantity: "temperature", Unit: "Cel"}, {Quantity: "humidity", Unit: "%RH"},
				}}},
			}
		},
		Log: slog.New(slog.DiscardHandler),
	}
}

// start runs a server until the test ends and gives its "host:port".
func start(t *testing.T, o local.Options) string {
	t.Helper()
	s := local.New(o)
	serve(t, s)
	return s.Addr()
}

// serve runs s until the test ends or the returned function is called.
func serve(t *testing.T, s *local.Server) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// publish gives the hub one reading of the boiler.
func publish(h *live.Hub, seq uint64, value float64) {
	h.Publish(gateway.Name{Epoch: gateway.EpochID{0x9f}, Seq: seq}, []gateway.Reading{{Channel: boiler, Value: value, At: testStamp}})
}

// skip is for tools that this machine lacks. A CI run may not skip.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip("SKIPPED: " + reason)
}
