package thermal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/thermal"
)

const zones = "sys/class/thermal/thermal_zone"

// board has the zone of the emulated Pi's processor and that of its radio.
func board(t testing.TB) string {
	return drivertest.Tree(t, map[string]string{
		zones + "0/type": "wlan\n", zones + "0/temp": "31000\n",
		zones + "1/type": "cpu-thermal\n", zones + "1/temp": "25178\n",
		zones + "10/type": "core\n", zones + "10/temp": "-12375\n", zones + "11/type": "core\n", zones + "11/temp": "1\n",
		"sys/class/thermal/cooling_device0/type": "gpio-fan\n",
	})
}

func open(t testing.TB, root, zone string) (drivers.Sensor, error) {
	return thermal.Driver().Open(t.Context(), drivers.Target{SysRoot: root, Options: map[string]any{"sensor": zone}})
}

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{
		Driver: thermal.Driver(), Want: map[string]float64{"temperature": 25.178},
		Target: func() drivers.Target { return drivers.Target{SysRoot: board(t)} },
	})
}

func TestWhichZone(t *testing.T) {
	for zone, says := range map[string]string{
		"core": "2 zones of the type core", "gpu": "core, core, cpu-thermal, wlan", "thermal_zone1": "cpu-thermal", "": "cpu-thermal",
	} {
		if _, err := open(t, board(t), zone); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("zone %q: %v", zone, err)
		}
	}
	if _, err := open(t, t.TempDir(), "cpu-thermal"); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("a board without zones: %v", err)
	}
}

func TestNoValue(t *testing.T) {
	for _, c := range []struct{ file, text, says string }{
		{"temp", "", "empty"}, {"temp", "hot\n", "not a number"}, {"temp", "-274000\n", "no temperature"},
		{"temp", strings.Repeat("4", 99), "longer"},
		{"type", "wlan\n", "another device"}, {"type", "", "empty"},
	} {
		root := board(t)
		s, err := open(t, root, "cpu-thermal")
		if err != nil {
			t.Fatal(err)
		}
		drivertest.Plant(t, root, zones+"1/"+c.file, c.text)
		vs, err := s.Read(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "thermal_zone1/"+c.file) || len(vs) > 0 {
			t.Errorf("%s = %.10q: read %v, %v", c.file, c.text, vs, err)
		}
	}
	root := board(t)
	s, err := open(t, root, "cpu-thermal")
	if err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(root, zones+"1"))
	if vs, err := s.Read(t.Context()); !errors.Is(err, drivers.ErrAbsent) || len(vs) > 0 {
		t.Errorf("a zone that has gone: %v, %v", vs, err)
	}
}

func TestFrozenZone(t *testing.T) {
	root := board(t)
	file := filepath.Join(root, zones+"1/temp")
	os.Remove(file)
	if err := syscall.Mkfifo(file, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := open(t, root, "cpu-thermal")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if vs, err := s.Read(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), file) || len(vs) > 0 {
		t.Errorf("read %v, %v", vs, err)
	}
	if err := os.WriteFile(file, []byte("1\n"), 0); err != nil { // lets the goroutine go
		t.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	s, err := open(b, board(b), "cpu-thermal")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if vs, err := s.Read(b.Context()); err != nil || len(vs) != 1 {
			b.Fatal(vs, err)
		}
	}
}
