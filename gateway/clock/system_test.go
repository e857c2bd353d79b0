package clock_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"golang.org/x/sys/unix"
)

// fakeRoot makes a root folder with the given files.
func fakeRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTheRunningSystem(t *testing.T) {
	var log bytes.Buffer
	c, err := clock.New("/", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(strings.TrimSpace(string(text)), "-", ""); c.Boot().String() != want {
		t.Errorf("boot id %s, want %s", c.Boot(), want)
	}
	if log.Len() > 0 {
		t.Errorf("it complained: %s", &log)
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		t.Fatal(err)
	}
	first := c.Stamp()
	if first < gateway.Stamp(ts.Nano()/1000) {
		t.Errorf("stamp %d is before BOOTTIME %d µs", first, ts.Nano()/1000)
	}
	before := time.Now().Truncate(time.Microsecond)
	a := c.Anchor()
	wall := a.Wall(c.Stamp())
	if wall.Before(before.Add(-time.Millisecond)) || wall.After(time.Now().Add(time.Millisecond)) {
		t.Errorf("the anchor gives %v at %v", wall, before)
	}
	if b := c.Anchor(); b != a {
		t.Errorf("the anchor changed at once: %+v, before %+v", b, a)
	}
}

func TestBootIDThatCannotBeRead(t *testing.T) {
	for _, files := range []map[string]string{{}, {"proc/sys/kernel/random/boot_id": "rubbish"}} {
		var log bytes.Buffer
		root := fakeRoot(t, files)
		c, err := clock.New(root, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		other, err := clock.New(root, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if c.Boot() == (gateway.BootID{}) || c.Boot() == other.Boot() {
			t.Errorf("boot ids %s and %s are not drawn", c.Boot(), other.Boot())
		}
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "boot_id") {
			t.Errorf("the log says %q", &log)
		}
	}
}

// What the kernel, systemd-timesyncd's file and the RTC say decide together.
func TestClockQualityFromSystem(t *testing.T) {
	const synced = "run/systemd/timesync/synchronized"
	const rtc = "sys/class/rtc/rtc0/since_epoch"
	inSync := func(tx *unix.Timex) (int, error) {
		tx.Maxerror = 3000
		return 0, nil
	}
	unsynced := func(tx *unix.Timex) (int, error) {
		tx.Status, tx.Maxerror = unix.STA_UNSYNC, 16_000_000
		return unix.TIME_ERROR, nil
	}
	forbidden := func(*unix.Timex) (int, error) { return 0, unix.EPERM }
	now := time.Now().Unix()
	rightNow, anHourAgo := strconv.FormatInt(now, 10)+"\n", strconv.FormatInt(now-3600, 10)+"\n"
	for name, c := range map[string]struct {
		adjtimex func(*unix.Timex) (int, error)
		files    map[string]string
		want     gateway.ClockQuality
		bound    time.Duration
	}{
		"kernel in sync":         {inSync, nil, gateway.ClockNTP, 4 * time.Millisecond},
		"forbidden, file there":  {forbidden, map[string]string{synced: ""}, gateway.ClockNTP, 0},
		"forbidden, no file":     {forbidden, nil, gateway.ClockNone, 0},
		"unsynced, file is old":  {unsynced, map[string]string{synced: ""}, gateway.ClockNone, 0},
		"RTC agrees":             {unsynced, map[string]string{rtc: rightNow}, gateway.ClockRTC, 0},
		"RTC, asking forbidden":  {forbidden, map[string]string{rtc: rightNow}, gateway.ClockRTC, 0},
		"RTC shows another time": {unsynced, map[string]string{rtc: anHourAgo}, gateway.ClockNone, 0},
		"RTC was never set":      {unsynced, map[string]string{rtc: "946684800\n"}, gateway.ClockNone, 0},
		"RTC does not answer":    {unsynced, map[string]string{rtc: ""}, gateway.ClockNone, 0},
	} {
		a := clock.NewWith(fakeRoot(t, c.files), c.adjtimex).Anchor()
		if a.Quality != c.want || a.Error != c.bound {
			t.Errorf("%s: %s with error %v, want %s with %v", name, a.Quality, a.Error, c.want, c.bound)
		}
	}
}

// A board whose RTC lost its battery boots with the time that the RTC shows:
// that they agree says nothing. A bubble begins in the year 2000.
func TestRTCThatLostItsBattery(t *testing.T) {
	root := fakeRoot(t, map[string]string{"sys/class/rtc/rtc0/since_epoch": "946684800\n"})
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewWith(root, func(*unix.Timex) (int, error) { return 0, unix.EPERM })
		if q := c.Anchor().Quality; q != gateway.ClockNone {
			t.Errorf("quality %s", q)
		}
	})
}

func BenchmarkStamp(b *testing.B) {
	c, err := clock.New("/", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Stamp()
	}
}

func BenchmarkAnchor(b *testing.B) {
	c, err := clock.New("/", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Anchor()
	}
}
