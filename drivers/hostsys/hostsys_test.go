package hostsys_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/hostsys"
)

func board(t *testing.T) string {
	return drivertest.Tree(t, map[string]string{
		"proc/loadavg":                         "0.42 0.30 0.25 1/123 4567\n",
		"proc/uptime":                          "86400.25 300000.10\n",
		"proc/meminfo":                         "MemTotal:  948000 kB\nMemAvailable:  600000 kB\nHugePages_Total: 0\n",
		"sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
		"sys/class/thermal/thermal_zone0/temp": "48312\n",
		// On a Pi, hwmon0 only repeats the zone; the link leads into it.
		"sys/devices/virtual/thermal/thermal_zone0/hwmon0/name":        "cpu_thermal\n",
		"sys/devices/virtual/thermal/thermal_zone0/hwmon0/temp1_input": "48312\n",
		"sys/class/hwmon/hwmon0":                                       "-> ../../devices/virtual/thermal/thermal_zone0/hwmon0",
		"sys/class/hwmon/hwmon10/name":                                 "drivetemp\n",
		"sys/class/hwmon/hwmon10/temp1_input":                          "33000\n",
		"sys/class/hwmon/hwmon9/name":                                  "drivetemp\n",
		"sys/class/hwmon/hwmon9/temp1_input":                           "31000\n",
		"sys/class/hwmon/hwmon2/name":                                  "coretemp\n",
		"sys/class/hwmon/hwmon2/temp2_input":                           "-1500\n",
		"sys/class/hwmon/hwmon2/temp2_label":                           "Core 0\n",
		"sys/class/hwmon/hwmon2/temp10_input":                          "52000\n",
		"sys/class/hwmon/hwmon2/fan1_input":                            "1200\n",
		"sys/class/hwmon/hwmon3/temp1_input":                           "60000\n",
		"sys/class/thermal/cooling_device0/type":                       "gpio-fan\n",
	})
}

func open(t *testing.T, root, path string) (drivers.Sensor, error) {
	t.Helper()
	return hostsys.Driver().Open(t.Context(), drivers.Target{SysRoot: root, Options: map[string]any{"path": path}})
}

func read(t *testing.T, s drivers.Sensor) (map[string]float64, []string) {
	t.Helper()
	vs, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, order := make(map[string]float64), []string(nil)
	for _, v := range vs {
		got[v.Quantity] = v.Value
		order = append(order, v.Quantity)
	}
	return got, order
}

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{
		Driver: hostsys.Driver(),
		Target: func() drivers.Target { return drivers.Target{SysRoot: board(t)} },
	})
}

func TestFigures(t *testing.T) {
	s, err := open(t, board(t), "/")
	if err != nil {
		t.Fatal(err)
	}
	got, order := read(t, s)
	if got["disk_free"] <= 0 {
		t.Errorf("disk_free = %v", got["disk_free"])
	}
	delete(got, "disk_free")
	want := map[string]float64{
		"load1": 0.42, "uptime": 86400.25, "memory_available": 600000 * 1024,
		"temperature_cpu-thermal": 48.312, "temperature_coretemp_Core_0": -1.5, "temperature_coretemp_temp10": 52,
		"temperature_drivetemp_temp1": 31, "temperature_drivetemp_temp1_2": 33, "temperature_hwmon_temp1": 60,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %v\nwant %v", got, want)
	}
	wantOrder := []string{
		"load1", "uptime", "memory_available", "disk_free",
		"temperature_coretemp_Core_0", "temperature_coretemp_temp10", "temperature_cpu-thermal",
		"temperature_drivetemp_temp1", "temperature_drivetemp_temp1_2", "temperature_hwmon_temp1",
	}
	if !reflect.DeepEqual(order, wantOrder) {
		t.Errorf("order %v\nwant %v", order, wantOrder)
	}
	listed := s.(drivers.Lister).Quantities()
	for i, q := range listed {
		if q.Name != wantOrder[i] {
			t.Errorf("listed %v", listed)
		}
	}
}

// What a sandbox hides is left out; what is nonsense too.
func TestPartOfTheBoard(t *testing.T) {
	root := drivertest.Tree(t, map[string]string{
		"proc/loadavg":                         "lots\n",
		"proc/meminfo":                         "MemTotal: 1 kB\n",
		"sys/class/thermal/thermal_zone0/temp": "48312\n",
		"sys/class/thermal/thermal_zone1/temp": "hot\n",
	})
	s, err := open(t, root, "/no/such/folder")
	if err != nil {
		t.Fatal(err)
	}
	if _, order := read(t, s); !reflect.DeepEqual(order, []string{"disk_free", "temperature_zone"}) {
		t.Errorf("read %v", order)
	}
	// A zone can fail now and then (its sensor sleeps).
	temp := filepath.Join(root, "sys/class/thermal/thermal_zone0/temp")
	if err := os.Remove(temp); err != nil {
		t.Fatal(err)
	}
	if _, order := read(t, s); !reflect.DeepEqual(order, []string{"disk_free"}) {
		t.Errorf("read %v", order)
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if vs, err := s.Read(t.Context()); err == nil || len(vs) > 0 {
		t.Errorf("nothing left, but read %v, %v", vs, err)
	}
	if _, err := open(t, root, "/"); err == nil || !strings.Contains(err.Error(), "loadavg") {
		t.Errorf("nothing there, but opened: %v", err)
	}
}

func TestLongNamesStayValidAndApart(t *testing.T) {
	files := make(map[string]string)
	for _, n := range []string{"0", "1", "10", "2"} {
		files["sys/class/thermal/thermal_zone"+n+"/type"] = strings.Repeat("long name/", 20)
		files["sys/class/thermal/thermal_zone"+n+"/temp"] = n + "000"
	}
	s, err := open(t, drivertest.Tree(t, files), "/")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, q := range s.(drivers.Lister).Quantities() {
		if len(q.Name) > 64 || seen[q.Name] || strings.ContainsAny(q.Name, " /") {
			t.Errorf("quantity %q", q.Name)
		}
		seen[q.Name] = true
	}
	if _, order := read(t, s); len(order) != 5 {
		t.Errorf("read %v", order)
	}
}

// A server with a sensor at every core still keeps to the table's bound.
func TestManyTemperatures(t *testing.T) {
	files := map[string]string{"sys/class/hwmon/hwmon0/name": "coretemp"}
	for i := range 100 {
		files[fmt.Sprintf("sys/class/hwmon/hwmon0/temp%d_input", i)] = "40000"
	}
	s, err := open(t, drivertest.Tree(t, files), "/")
	if err != nil {
		t.Fatal(err)
	}
	listed := s.(drivers.Lister).Quantities()
	if _, order := read(t, s); len(order) != 64 || len(listed) != 64 || hostsys.Driver().MostQuantities != 64 {
		t.Errorf("%d read, %d listed, at most %d announced", len(order), len(listed), hostsys.Driver().MostQuantities)
	}
}

// The machine that runs the test.
func TestThisMachine(t *testing.T) {
	s, err := open(t, "/", "/var/lib/fieldgate")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := read(t, s)
	for _, name := range []string{"uptime", "memory_available", "disk_free"} {
		if got[name] <= 0 {
			t.Errorf("%s = %v", name, got[name])
		}
	}
	t.Log(got)
}

func BenchmarkRead(b *testing.B) {
	s, err := hostsys.Driver().Open(context.Background(), drivers.Target{SysRoot: "/", Options: hostsys.Driver().Defaults()})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Read(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
