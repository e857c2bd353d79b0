package w1_test

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
	"github.com/fieldgate/fieldgate/drivers/sysfs"
	"github.com/fieldgate/fieldgate/drivers/w1"
)

const (
	bus  = "sys/bus/w1/devices/"
	tank = "28-0123456789ab"
)

// board has two thermometers, a switch that is none, and the master.
func board(t testing.TB) string {
	const master = "sys/devices/w1_bus_master1/"
	return drivertest.Tree(t, map[string]string{
		master + tank + "/w1_slave":         good,
		master + tank + "/name":             tank + "\n",
		master + tank + "/temperature":      "23125\n",
		master + "10-000802604de6/w1_slave": good,
		master + "29-000000123456/state":    "x",
		bus + tank:                          "-> ../../../devices/w1_bus_master1/" + tank,
		bus + "10-000802604de6":             "-> ../../../devices/w1_bus_master1/10-000802604de6",
		bus + "29-000000123456":             "-> ../../../devices/w1_bus_master1/29-000000123456",
		bus + "w1_bus_master1":              "-> ../../../devices/w1_bus_master1",
	})
}

// show gives what the kernel writes.
func show(bytes, crc, t string) string {
	return bytes + " : crc=" + crc + " YES\n" + bytes + " t=" + t + "\n"
}

var good = show("72 01 4b 46 7f ff 0e 10 57", "57", "23125")

func open(t testing.TB, root, serial string) (drivers.Sensor, error) {
	return w1.Driver().Open(t.Context(), drivers.Target{SysRoot: root, Options: map[string]any{"sensor": serial}})
}

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{
		Driver: w1.Driver(), Options: map[string]any{"sensor": tank}, Want: map[string]float64{"temperature": 23.125},
		Target: func() drivers.Target { return drivers.Target{SysRoot: board(t)} },
	})
}

// visit shows one text after the other at a thermometer, and gives what the
// last visit gave.
func visit(t *testing.T, serial, file string, texts ...string) ([]drivers.Value, error) {
	t.Helper()
	root := drivertest.Tree(t, map[string]string{bus + serial + "/" + file: texts[0]})
	s, err := open(t, root, serial)
	if err != nil {
		t.Fatal(err)
	}
	var vs []drivers.Value
	for _, text := range texts {
		drivertest.Plant(t, root, bus+serial+"/"+file, text)
		vs, err = s.Read(t.Context())
	}
	return vs, err
}

// Good answers. Those of the first four lines were captured from real chips;
// a byte 6 of 0c, as after power-up, is in good ones too.
func TestGoodAnswers(t *testing.T) {
	near85 := show("4f 05 4b 46 7f ff 01 10 3b", "3b", "84937")
	for _, c := range []struct {
		serial string
		texts  []string
		want   float64
	}{
		{tank, []string{good}, 23.125},
		{tank, []string{show("82 01 4b 46 7f ff 0e 10 70", "70", "24125")}, 24.125},
		{tank, []string{show("dd ff 4b 46 7f ff 03 10 25", "25", "-2187")}, -2.187},
		{tank, []string{show("16 00 4b 46 7f ff 0a 10 a5", "a5", "1375")}, 1.375},
		{tank, []string{show("74 01 4b 46 7f ff 0c 10 55", "55", "23250")}, 23.25},
		{tank, []string{show("5e ff 4b 46 7f ff 02 10 b6", "b6", "-10125")}, -10.125},
		{tank, []string{show("00 00 4b 46 7f ff 10 10 69", "69", "0")}, 0},
		{tank, []string{show("ff ff 4b 46 7f ff 01 10 9a", "9a", "-62")}, -0.062},
		{tank, []string{near85, show("50 05 4b 46 7f ff 10 10 bd", "bd", "85000")}, 85},
		{"22-0123456789ab", []string{good}, 23.125},
		{"42-0123456789ab", []string{good}, 23.125},
		{"3b-0123456789ab", []string{good}, 23.125},
		{"3b-0123456789ab", []string{show("00 19 00 10 ff ff ff ff c6", "c6", "400000")}, 400},
		{"10-0123456789ab", []string{show("32 00 4b 46 ff ff 02 10 b7", "b7", "25625")}, 25.625},
	} {
		vs, err := visit(t, c.serial, "w1_slave", c.texts...)
		if err != nil || len(vs) != 1 || vs[0] != (drivers.Value{Quantity: "temperature", Value: c.want}) {
			t.Errorf("%s shows %q: read %v, %v", c.serial, c.texts, vs, err)
		}
	}
}

// What a chip says when it should say nothing, and what a disturbed line makes
// of a good answer: no value, and the cause is named.
func TestKnownLies(t *testing.T) {
	power := show("50 05 4b 46 7f ff 0c 10 1c", "1c", "85000")
	near85 := show("4f 05 4b 46 7f ff 01 10 3b", "3b", "84937")
	for _, c := range []struct {
		name, serial string
		texts        []string
		says         string
	}{
		{"85 after power-up", tank, []string{power}, "just powered"},
		{"85 after power-up, from 23", tank, []string{good, power}, "just powered"},
		{"85 after power-up, in a place of 84.9", tank, []string{near85, power}, "just powered"},
		{"85 of a DS18S20", "10-0123456789ab", []string{show("aa 00 4b 46 ff ff 0c 10 87", "87", "85000")}, "just powered"},
		{"zeros, with a right checksum", tank, []string{show("00 00 00 00 00 00 00 00 00", "00", "0")}, "every byte"},
		{"ones", tank, []string{show("ff ff ff ff ff ff ff ff ff", "c9", "-62")}, "checksum"},
		{"127.94", tank, []string{show("ff 07 4b 46 7f ff 01 10 2f", "2f", "127937")}, "beyond"},
		{"a kernel that lost the sign", tank, []string{show("5e ff 4b 46 7f ff 02 10 b6", "b6", "4085875")}, "beyond"},
		{"open thermocouple", "3b-0123456789ab", []string{show("01 19 00 10 ff ff ff ff 85", "85", "400062")}, "thermocouple"},
		{"NO", tank, []string{strings.Replace(good, "YES", "NO", 1)}, "checksum"},
		{"a flipped bit", tank, []string{strings.ReplaceAll(good, "72 01", "73 01")}, "checksum"},
		{"bytes of an earlier time", tank, []string{"72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n82 01 4b 46 7f ff 0e 10 70 t=24125\n"}, "checksum"},
		{"one line", tank, []string{"72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n"}, "not what the kernel writes"},
		{"no temperature", tank, []string{strings.Replace(good, "23125", "", 1)}, "not what the kernel writes"},
		{"cut off", tank, []string{good[:20]}, "not what the kernel writes"},
		{"garbage", tank, []string{"hello\nworld\n"}, "not what the kernel writes"},
		{"empty", tank, []string{""}, "empty"},
		{"huge", tank, []string{strings.Repeat(good, 100)}, "longer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			vs, err := visit(t, c.serial, "w1_slave", c.texts...)
			if err == nil || !strings.Contains(err.Error(), c.says) || len(vs) > 0 {
				t.Errorf("read %v, %v", vs, err)
			}
		})
	}
}

// 85 of a chip that shows that it has measured, as some copies always do, is
// in doubt without a value near it, and makes no other 85 credible.
func TestEightyFiveInDoubt(t *testing.T) {
	real85 := show("50 05 4b 46 7f ff 10 10 bd", "bd", "85000")
	for _, texts := range [][]string{{real85}, {good, real85}, {good, real85, real85}} {
		vs, err := visit(t, tank, "w1_slave", texts...)
		if err != nil || len(vs) != 1 || vs[0].Value != 85 || !strings.Contains(vs[0].Doubt, "just powered") {
			t.Errorf("read %+v, %v", vs, err)
		}
	}
}

// The same through the file that shows no bytes.
func TestTemperatureFile(t *testing.T) {
	for text, doubt := range map[string]string{"-10125\n": "", "85000\n": "just powered", "0\n": "did not answer"} {
		vs, err := visit(t, tank, "temperature", text)
		if err != nil || len(vs) != 1 || !strings.Contains(vs[0].Doubt, doubt) ||
			doubt == "" && vs[0] != (drivers.Value{Quantity: "temperature", Value: -10.125}) {
			t.Errorf("%q: read %+v, %v", text, vs, err)
		}
	}
	for text, says := range map[string]string{
		"127937\n": "beyond", "": "empty", "x\n": "not a number",
	} {
		if vs, err := visit(t, tank, "temperature", text); err == nil || !strings.Contains(err.Error(), says) || len(vs) > 0 {
			t.Errorf("%q: read %v, %v", text, vs, err)
		}
	}
}

// A value near 85 is remembered over a loss of the chip, which is opened anew.
func TestRealEightyFiveAfterALoss(t *testing.T) {
	root, driver := board(t), w1.Driver()
	target := drivers.Target{SysRoot: root, Options: map[string]any{"sensor": tank}}
	for _, c := range []struct {
		text string
		good bool
	}{
		{show("4f 05 4b 46 7f ff 01 10 3b", "3b", "84937"), true}, {"", false}, {show("50 05 4b 46 7f ff 10 10 bd", "bd", "85000"), true},
	} {
		drivertest.Plant(t, root, bus+tank+"/w1_slave", c.text)
		s, err := driver.Open(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		if vs, err := s.Read(t.Context()); (err == nil) != c.good {
			t.Errorf("%q: read %v, %v", c.text, vs, err)
		}
	}
}

func TestWhichThermometer(t *testing.T) {
	const both = "10-000802604de6, 28-0123456789ab"
	for _, c := range []struct {
		serial, says string
		absent       bool
	}{
		{"28-0123456789ac", both, true}, {"", both, false}, {"29-000000123456", both, false}, {"w1_bus_master1", both, false},
		{"28-0123456789AB", "not the serial number", false},
	} {
		_, err := open(t, board(t), c.serial)
		if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, drivers.ErrAbsent) != c.absent {
			t.Errorf("%q: %v", c.serial, err)
		}
	}
	if _, err := open(t, t.TempDir(), tank); !errors.Is(err, drivers.ErrAbsent) || !strings.Contains(err.Error(), "no thermometer at all") {
		t.Errorf("a board without 1-Wire: %v", err)
	}
	root := board(t)
	s, err := open(t, root, tank)
	if err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(root, "sys/devices/w1_bus_master1", tank))
	if vs, err := s.Read(t.Context()); !errors.Is(err, drivers.ErrAbsent) || len(vs) > 0 {
		t.Errorf("a thermometer that was taken off: %v, %v", vs, err)
	}
}

func TestFrozenLine(t *testing.T) {
	root, driver := board(t), w1.Driver()
	file := filepath.Join(root, bus, tank, "w1_slave")
	os.Remove(file)
	if err := syscall.Mkfifo(file, 0o644); err != nil {
		t.Fatal(err)
	}
	target := drivers.Target{SysRoot: root, Options: map[string]any{"sensor": tank}}
	s, err := driver.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if vs, err := s.Read(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "w1_slave") || len(vs) > 0 {
		t.Errorf("read %v, %v", vs, err)
	}
	if _, err := driver.Open(t.Context(), target); !errors.Is(err, sysfs.ErrStuck) {
		t.Errorf("open again: %v", err)
	}
	if err := os.WriteFile(file, []byte(good), 0); err != nil { // lets the goroutine go
		t.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	s, err := open(b, board(b), tank)
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
