package systemd_test

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/systemd"
)

// logged returns the lines that do writes through a handler on a pipe; with journal, JOURNAL_STREAM names that pipe.
func logged(t *testing.T, journal bool, do func(*slog.Logger)) []string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(w.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	if !journal {
		name = fmt.Sprintf("%d:%d", st.Dev, st.Ino+1) // inherited from a parent whose stderr was another
	}
	t.Setenv("JOURNAL_STREAM", name)
	stream := systemd.NewStream(w)
	do(slog.New(systemd.NewHandler(stream)))
	stream.Flush(time.Minute)
	w.Close()
	var lines []string
	for in := bufio.NewScanner(r); in.Scan(); {
		lines = append(lines, in.Text())
	}
	return lines
}

func TestJournalLines(t *testing.T) {
	lines := logged(t, true, func(log *slog.Logger) {
		log.Debug("not shown")
		log.Info("uplink up", "url", "wss://cloud/v1", "after", "3 attempts")
		log.Warn("device silent", "device", "boiler", "err", errors.New("read 0x48: remote I/O error"))
		log.Error("store failed\n<0>forged", "path", "a\nb")
		log.With("bus", "i2c-1").WithGroup("line").Info("level seen", "level", 1, "msg", "kept")
	})
	want := []string{
		`<6>uplink up url=wss://cloud/v1 after="3 attempts"`,
		`<4>device silent device=boiler err="read 0x48: remote I/O error"`,
		`<3>store failed\n<0>forged path="a\nb"`,
		`<6>level seen bus=i2c-1 line.level=1 line.msg=kept`,
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// Attributes may have the names of slog's own fields.
func TestAttributeNames(t *testing.T) {
	lines := logged(t, true, func(log *slog.Logger) { log.Info("GPIO17", "level", 1, "msg", "x", "time", "now") })
	if want := "<6>GPIO17 level=1 msg=x time=now"; len(lines) != 1 || lines[0] != want {
		t.Errorf("got %q, want %q", lines, want)
	}
}

func TestPlainLines(t *testing.T) {
	lines := logged(t, false, func(log *slog.Logger) { log.Warn("bus gone", "bus", "i2c-1") })
	want := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARN  bus gone bus=i2c-1$`)
	if len(lines) != 1 || !want.MatchString(lines[0]) {
		t.Errorf("got %q, want one line like %s", lines, want)
	}
}

func TestConcurrentRecordsStayWhole(t *testing.T) {
	const writers, each = 8, 50
	lines := logged(t, true, func(log *slog.Logger) {
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				for range each {
					log.With("writer", i).Info("one record")
				}
			})
		}
		all.Wait()
	})
	if len(lines) != writers*each {
		t.Fatalf("got %d lines, want %d", len(lines), writers*each)
	}
	whole := regexp.MustCompile(`^<6>one record writer=\d$`)
	for _, line := range lines {
		if !whole.MatchString(line) {
			t.Errorf("broken line %q", line)
		}
	}
}
