package clock

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"golang.org/x/sys/unix"
)

// New gives the clock of the running system. root is "/" in life; a folder
// with proc/, sys/ and run/ in tests. A boot id that cannot be read is replaced
// by a random one, which is told to log: stamps then count as another boot's
// after every restart of the program.
func New(root string, log *slog.Logger) (*Clock, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return nil, fmt.Errorf("read CLOCK_BOOTTIME: %w", err)
	}
	boot, err := readBootID(root)
	if err != nil {
		_, _ = rand.Read(boot[:])
		log.Warn("the boot id cannot be read; this run of the program counts as a boot of its own: "+
			"let the service read /proc/sys/kernel/random/boot_id", "error", err)
	}
	return &Clock{boot: boot, src: &system{root: root, adjtimex: unix.Adjtimex}}, nil
}

func readBootID(root string) (gateway.BootID, error) {
	var b gateway.BootID
	text, err := os.ReadFile(filepath.Join(root, "proc/sys/kernel/random/boot_id"))
	if err != nil {
		return b, fmt.Errorf("read the boot id: %w", err)
	}
	err = b.UnmarshalText([]byte(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", "")))
	return b, err
}

// system is the kernel's clocks. Its fields are owned by the Clock's lock.
type system struct {
	root     string
	adjtimex func(*unix.Timex) (state int, err error)
	byRTC    bool // the wall clock agreed with the RTC when it was last set
}

func micros(clock int32) int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(clock, &ts) // New has seen that it works
	return ts.Nano() / 1000
}

func (s *system) stamp() gateway.Stamp { return gateway.Stamp(micros(unix.CLOCK_BOOTTIME)) }

// look reads the wall clock between two readings of BOOTTIME, and keeps the
// closest of a few tries: another process may run in between.
func (s *system) look() (gateway.Stamp, int64) {
	var boot, wall int64
	for narrowest, try := int64(1<<62), 0; try < 5 && narrowest > 100; try++ {
		before := micros(unix.CLOCK_BOOTTIME)
		w := micros(unix.CLOCK_REALTIME)
		if width := micros(unix.CLOCK_BOOTTIME) - before; width < narrowest {
			narrowest, boot, wall = width, before+width/2, w
		}
	}
	return gateway.Stamp(boot), wall
}

func (s *system) trust(stepped bool) (gateway.ClockQuality, time.Duration) {
	if synced, bound := s.synchronised(); synced {
		return gateway.ClockNTP, bound
	}
	if stepped {
		s.byRTC = s.agreesWithRTC(time.Now())
	}
	if s.byRTC {
		return gateway.ClockRTC, 0
	}
	return gateway.ClockNone, 0
}

// synchronised asks the kernel, and where the sandbox forbids that, the file
// that systemd-timesyncd makes (systemd-timesyncd.service(8)).
func (s *system) synchronised() (bool, time.Duration) {
	var tx unix.Timex
	_, err := s.adjtimex(&tx)
	if err == nil {
		return tx.Status&unix.STA_UNSYNC == 0, time.Duration(tx.Maxerror) * time.Microsecond
	}
	if !errors.Is(err, fs.ErrPermission) {
		return false, 0
	}
	_, err = os.Stat(filepath.Join(s.root, "run/systemd/timesync/synchronized"))
	return err == nil, 0
}

const (
	rtcAgrees = 5 * time.Second // an RTC counts whole seconds, and takes time to read
	sane      = 2025            // an RTC that shows an earlier year was never set
)

// agreesWithRTC says whether the wall clock shows what a battery-backed clock
// does. It may cost a transfer on the clock's I2C bus.
func (s *system) agreesWithRTC(wall time.Time) bool {
	text, err := os.ReadFile(filepath.Join(s.root, "sys/class/rtc/rtc0/since_epoch"))
	if err != nil {
		return false
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return false
	}
	rtc := time.Unix(seconds, 0).UTC()
	return rtc.Year() >= sane && rtc.Year() < 2100 && wall.Sub(rtc).Abs() <= rtcAgrees
}
