package iio_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/iio"
	"github.com/fieldgate/fieldgate/drivers/sysfs"
)

const (
	devices = "sys/devices/platform/soc/3f804000.i2c/i2c-1/"
	air     = devices + "1-0077/iio:device0/"
	compass = devices + "1-001e/iio:device1/"
	adc     = "sys/devices/platform/soc/3f204000.spi/spi_master/spi0/spi0.0/iio:device2/"
	lab     = "sys/devices/platform/lab/iio:device10/"
)

// board is a Pi with a DPS310 and an LSM303DLHC, with the figures that the
// kernel gave for those of the emulated board, an ADC, and what else there is.
func board(t testing.TB) string {
	files := map[string]string{
		air + "name": "dps310", air + "in_temp_input": "24738", air + "in_temp_oversampling_ratio": "1",
		air + "in_pressure_input": "92.947000000", air + "in_pressure_sampling_frequency": "1", air + "dev": "250:0",

		compass + "name": "lsm303dlhc_magn", compass + "in_magn_x_raw": "11", compass + "in_magn_y_raw": "550", compass + "in_magn_z_raw": "1209",
		compass + "in_magn_x_scale": "0.000909", compass + "in_magn_y_scale": "0.000909", compass + "in_magn_z_scale": "0.001020",
		compass + "in_magn_scale_available": "1.3 1.9", compass + "current_timestamp_clock": "realtime", compass + "sampling_frequency": "0.75",

		adc + "name": "mcp3008", adc + "label": "inputs", adc + "in_voltage0_raw": "512", adc + "in_voltage1_raw": "-100",
		adc + "in_voltage2_raw": "100", adc + "in_voltage2_scale": "2.5", adc + "in_voltage2_offset": "-20",
		adc + "in_voltage_scale":         "3.222656250",
		adc + "in_voltage0-voltage1_raw": "-612", adc + "in_voltage-voltage_scale": "1.5", adc + "in_voltage3_supply_raw": "1000",
		adc + "in_voltage3_supply_scale": "5", adc + "in_voltage1_label": "Tank level", adc + "in_voltage7_mean_raw": "1",
		adc + "out_voltage0_raw": "7", adc + "in_timestamp_en": "1",
	}
	for file, text := range map[string]string{
		"name": "lab", "in_humidityrelative_raw": "4525", "in_humidityrelative_scale": "10", "in_illuminance_input": "34.2",
		"in_intensity_both_raw": "77", "in_concentration_co2_raw": "412", "in_concentration_co2_scale": "0.0001",
		"in_massconcentration_pm2p5_input": "12.5",
		"in_resistance_raw":                "1000", "in_resistance_scale": "0.1078", "in_current_raw": "40", "in_current_scale": "0.5",
		"in_power_input":   "2500",
		"in_proximity_raw": "812", "in_proximity1_raw": "10", "in_proximity1_scale": "0.01", "in_distance_input": "1.25",
		"in_accel_x_raw": "-1000",
		"in_accel_scale": "0.00981", "in_incli_x_input": "90", "in_angl_raw": "2", "in_angl_scale": "0.5", "in_temp_object_raw": "14000",
		"in_temp_object_offset": "-13657.5", "in_temp_object_scale": "20", "in_temp_ambient_raw": "0", "in_temp_ambient_scale": "20",
		"in_temp_ambient_offset": "-13657.500000", "in_anglvel_x_raw": "5", "in_rot_quaternion_raw": "1 2 3 4", "in_temp_peak_raw": "9",
		"in_ph_raw": "70", "scale": "0.1", "in_electricalconductivity_input": "0.055", "in_capacitance0_raw": "2200", "in_count0_raw": "42",
		"in_energy_input": "15", "in_uvindex_input": "6", "in_velocity_x_input": "3.5",
	} {
		files[lab+file] = text
	}
	for i, dir := range map[string]string{"0": air, "1": compass, "2": adc, "10": lab} {
		files["sys/bus/iio/devices/iio:device"+i] = "-> ../../../../" + strings.TrimSuffix(dir, "/")
	}
	files["sys/bus/iio/devices/trigger0/name"] = "dps310"
	for file, text := range files {
		if !strings.HasPrefix(text, "-> ") {
			files[file] = text + "\n"
		}
	}
	return drivertest.Tree(t, files)
}

func target(root, sensor, quantities string) drivers.Target {
	return drivers.Target{SysRoot: root, Options: map[string]any{"sensor": sensor, "quantities": quantities}}
}

func open(t testing.TB, root, sensor string) drivers.Sensor {
	t.Helper()
	s, err := iio.Driver().Open(t.Context(), target(root, sensor, ""))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// visit gives the values of a visit, rounded to nine digits, and why others
// are missing.
func visit(t *testing.T, s drivers.Sensor) (map[string]float64, error) {
	t.Helper()
	vs, err := s.Read(t.Context())
	if err != nil {
		return nil, err
	}
	got := map[string]float64{}
	for _, v := range vs {
		if v.Doubt != "" {
			t.Errorf("%s is in doubt: %s", v.Quantity, v.Doubt)
		}
		digits := math.Pow10(9 - int(math.Ceil(math.Log10(math.Abs(v.Value)+1e-300))))
		got[v.Quantity] = math.Round(v.Value*digits) / digits
	}
	return got, s.(drivers.Partial).Missing()
}

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{
		Driver: iio.Driver(), Options: map[string]any{"sensor": "dps310"}, Want: map[string]float64{"temperature": 24.738, "pressure": 92947},
		Target: func() drivers.Target { return drivers.Target{SysRoot: board(t)} },
	})
}

func TestChips(t *testing.T) {
	for _, c := range []struct {
		sensor string
		want   map[string]float64
	}{
		{"dps310", map[string]float64{"temperature": 24.738, "pressure": 92947}},
		{"i2c-1/1-0077", map[string]float64{"temperature": 24.738, "pressure": 92947}},
		// 1 and 50 uT, and 123 uT on the axis with the other scale.
		{"lsm303dlhc_magn", map[string]float64{"magnetic_x": 9.999e-7, "magnetic_y": 4.9995e-5, "magnetic_z": 1.23318e-4}},
		{"inputs", map[string]float64{
			"voltage0": 1.65, "voltage_Tank_level": -0.322265625, "voltage2": 0.2, "voltage0-1": -0.918, "voltage3_supply": 5,
		}},
		{"lab", map[string]float64{
			"humidity": 45.25, "illuminance": 34.2, "intensity_both": 7.7, "concentration_co2": 0.000412, "massconcentration_pm2p5": 1.25e-8,
			"resistance": 107.8, "current": 0.02, "power": 2.5, "proximity": 81.2, "proximity1": 0.1, "distance": 1.25, "acceleration_x": -9.81,
			"inclination_x": 1.57079633, "angle": 1, "temperature_object": 6.85, "temperature_ambient": -273.15, "ph": 7,
			"conductivity": 0.055, "capacitance0": 2.2e-7, "count0": 4.2, "energy": 15, "uvindex": 6, "velocity_x": 3.5,
		}},
	} {
		t.Run(c.sensor, func(t *testing.T) {
			got, err := visit(t, open(t, board(t), c.sensor))
			if err != nil || !maps.Equal(got, c.want) {
				t.Errorf("read %v, %v\nwant %v", got, err, c.want)
			}
		})
	}
}

func TestUnits(t *testing.T) {
	want := []string{"temperature Cel", "pressure Pa", "magnetic_x T", "magnetic_y T", "magnetic_z T", "voltage0 V", "voltage0-1 V",
		"voltage_Tank_level V", "voltage2 V", "voltage3_supply V"}
	var got []string
	for _, sensor := range []string{"dps310", "lsm303dlhc_magn", "mcp3008"} {
		for _, q := range open(t, board(t), sensor).(drivers.Lister).Quantities() {
			got = append(got, q.Name+" "+q.Unit)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("quantities %q\nwant %q", got, want)
	}
}

// Without a scale a number has no unit. It is given as one without unit where
// the kernel means it so, and else not at all.
func TestWithoutScale(t *testing.T) {
	root := drivertest.Tree(t, map[string]string{
		"sys/bus/iio/devices/iio:device0/name": "vcnl4000\n", "sys/bus/iio/devices/iio:device0/in_proximity_raw": "812\n",
		"sys/bus/iio/devices/iio:device0/in_illuminance_raw": "55\n",
	})
	s := open(t, root, "vcnl4000")
	got, err := visit(t, s)
	if !maps.Equal(got, map[string]float64{"proximity": 812}) || err == nil || !strings.Contains(err.Error(), "no scale") {
		t.Errorf("read %v, %v", got, err)
	}
	if qs := s.(drivers.Lister).Quantities(); qs[1] != (drivers.Quantity{Name: "proximity", Unit: "/"}) {
		t.Errorf("quantities %v", qs)
	}
}

func TestWhichChip(t *testing.T) {
	const all = "dps310 (i2c-1/1-0077), lsm303dlhc_magn (i2c-1/1-001e), mcp3008 (spi0/spi0.0), lab (platform/lab)"
	for _, sensor := range []string{"bmp280", "iio:device0", "", "trigger0"} {
		_, err := iio.Driver().Open(t.Context(), target(board(t), sensor, ""))
		if !errors.Is(err, drivers.ErrAbsent) || !strings.Contains(err.Error(), all) {
			t.Errorf("sensor %q: %v", sensor, err)
		}
	}
	root := board(t)
	drivertest.Plant(t, root, lab+"name", "dps310\n")
	_, err := iio.Driver().Open(t.Context(), target(root, "dps310", ""))
	if err == nil || !strings.Contains(err.Error(), "dps310 (i2c-1/1-0077), dps310 (platform/lab)") {
		t.Errorf("two of a name: %v", err)
	}
	_, err = iio.Driver().Open(t.Context(), target(root, "platform/lab", "ph pressure"))
	if err == nil || !strings.Contains(err.Error(), `no quantity "pressure"`) {
		t.Errorf("a quantity that is not there: %v", err)
	}
}

// Each file that a value is made of fails in each way.
func TestEachFileFails(t *testing.T) {
	for _, file := range []string{"in_voltage2_raw", "in_voltage2_offset", "in_voltage2_scale"} {
		for how, says := range map[string]string{
			"gone": "no such file", "": "empty", "garbage": "not a number", "1 2": "not a number", "3.5 dB": "not a number",
			strings.Repeat("1", 5000): "longer",
		} {
			root := board(t)
			s := open(t, root, "mcp3008")
			drivertest.Plant(t, root, adc+file, how)
			if how == "gone" {
				os.Remove(filepath.Join(root, adc, file))
			}
			got, missing := visit(t, s)
			if _, there := got["voltage2"]; there || len(got) != 4 {
				t.Errorf("%s %.10q: read %v", file, how, got)
			}
			if missing == nil || !strings.Contains(missing.Error(), says) || !strings.Contains(missing.Error(), file) {
				t.Errorf("%s %.10q: missing says %v", file, how, missing)
			}
		}
	}
}

// A MAX31865 whose resistor is broken says so in a file, and goes on giving
// numbers.
func TestFaultOfTheChip(t *testing.T) {
	const max = "sys/bus/iio/devices/iio:device0/"
	root := drivertest.Tree(t, map[string]string{
		max + "name": "max31865\n", max + "in_temp_raw": "8000\n", max + "in_temp_scale": "31.25\n", max + "fault_ovuv": "0\n",
	})
	s := open(t, root, "max31865")
	if got, err := visit(t, s); err != nil || got["temperature"] != 250 {
		t.Errorf("read %v, %v", got, err)
	}
	drivertest.Plant(t, root, max+"fault_ovuv", "1\n")
	if got, err := visit(t, s); err == nil || !strings.Contains(err.Error(), "open or shorted") {
		t.Errorf("read %v, %v", got, err)
	}
	drivertest.Plant(t, root, max+"fault_ovuv", "")
	if got, err := visit(t, s); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestFrozenChip(t *testing.T) {
	root, driver := board(t), iio.Driver()
	file := filepath.Join(root, air, "in_temp_input")
	os.Remove(file)
	if err := syscall.Mkfifo(file, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := driver.Open(t.Context(), target(root, "dps310", ""))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if vs, err := s.Read(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), file) || len(vs) > 0 {
		t.Errorf("read %v, %v", vs, err)
	}
	if _, err := driver.Open(t.Context(), target(root, "dps310", "")); !errors.Is(err, sysfs.ErrStuck) {
		t.Errorf("open again: %v", err)
	}
	if err := os.WriteFile(file, []byte("1\n"), 0); err != nil { // lets the goroutine go
		t.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	s := open(b, board(b), "lsm303dlhc_magn")
	b.ReportAllocs()
	for b.Loop() {
		if vs, err := s.Read(b.Context()); err != nil || len(vs) != 3 {
			b.Fatal(vs, err)
		}
	}
}
