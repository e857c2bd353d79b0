package sample_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/hwmon"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// A counter counts readings by device.
type counter struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) Take(rs []gateway.Reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rs {
		c.seen[r.Channel.Device]++
	}
}

func (c *counter) of(device string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[device]
}

// A file of the kernel that never answers is told, delays no other device and
// no stop. In real time: a read of a FIFO is outside of virtual time.
func TestFrozenFileOfTheKernel(t *testing.T) {
	root := drivertest.Tree(t, map[string]string{
		"sys/class/hwmon/hwmon0/name": "frozen\n", "sys/class/hwmon/hwmon1/name": "well\n", "sys/class/hwmon/hwmon1/temp1_input": "1\n",
	})
	if err := syscall.Mkfifo(filepath.Join(root, "sys/class/hwmon/hwmon0/temp1_input"), 0o644); err != nil {
		t.Fatal(err)
	}
	driver, readings := hwmon.Driver(), &counter{seen: map[string]int{}}
	chip := func(name string) sample.Device {
		return sample.Device{ID: name, Driver: "hwmon", Interval: 10 * time.Millisecond, Timeout: 50 * time.Millisecond,
			Open: func(ctx context.Context, _ io.Closer) (drivers.Sensor, error) {
				return driver.Open(ctx, drivers.Target{SysRoot: root, Options: map[string]any{"sensor": name, "quantities": ""}})
			}}
	}
	table := health.New(slog.New(slog.DiscardHandler))
	s := sample.New(sample.Options{Devices: []sample.Device{chip("frozen"), chip("well")}, Sink: readings,
		Stamp: func() gateway.Stamp { return 0 }, Health: table})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for len(table.List()) == 0 || readings.of("well") < 20 {
		changed := table.Changed()
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond):
		}
	}
	if c := table.List()[0]; c.Subject != "frozen" || c.Code != "sensor_failing" || !strings.Contains(c.Sentence, "hwmon0/temp1_input") {
		t.Errorf("told %+v", c)
	}
	if n := readings.of("frozen"); n != 0 {
		t.Errorf("%d readings of the frozen chip", n)
	}
	asked := time.Now()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the stop gave %v", err)
	}
	// Run would wait 2 s for a visit that does not return.
	if took := time.Since(asked); took > time.Second {
		t.Errorf("the stop took %v", took)
	}
	// Let the goroutine go that is left behind.
	if err := os.WriteFile(filepath.Join(root, "sys/class/hwmon/hwmon0/temp1_input"), []byte("1\n"), 0); err != nil {
		t.Fatal(err)
	}
}
