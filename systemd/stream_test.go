package systemd_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/systemd"
)

// longFlush only ends tests that fail.
const longFlush = time.Minute

// smallPipe is a pipe that takes one page.
func smallPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	return r, w
}

// account adds up what a reader gets: lines, and lost ones by what it is told.
func account(t *testing.T, in io.Reader, until uint64) (read, lost uint64) {
	t.Helper()
	for lines := bufio.NewScanner(in); read+lost < until && lines.Scan(); {
		var n uint64
		_, text, _ := strings.Cut(lines.Text(), "WARN  ")
		if _, err := fmt.Sscanf(text, "%d log line", &n); err == nil {
			lost += n
		} else {
			read++
		}
	}
	return read, lost
}

// A reader that stands still holds nobody up. When it goes on it learns how
// many lines it has not got, also when nothing more is logged.
func TestReaderStandsStill(t *testing.T) {
	const all = 20_000
	r, w := smallPipe(t)
	stream := systemd.NewStream(w)
	log := slog.New(systemd.NewHandler(stream))
	for i := range all {
		log.Info("a line that nobody reads for now", "number", i)
	}
	stream.Flush(time.Millisecond) // bounded
	want := stream.Lost()
	if want == 0 {
		t.Error("nothing was lost: the queue has no bound")
	}
	read, lost := account(t, r, all)
	if read+lost != all || lost != want {
		t.Errorf("the reader got %d lines and was told of %d lost ones, of %d; Lost says %d", read, lost, all, want)
	}
}

// What came first is kept, and what is lost is told where it was lost.
func TestLostLinesAreToldInTheirPlace(t *testing.T) {
	r, w := smallPipe(t)
	stream := systemd.NewStream(w)
	long := strings.Repeat("x", 100<<10)
	for i := range 8 { // more than the queue takes
		fmt.Fprintln(stream, i, long)
	}
	in := bufio.NewReader(r)
	next := func() string {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line[:min(len(line), 30)]
	}
	for i := 0; ; i++ {
		line := next()
		if strings.Contains(line, "lost") {
			if want := fmt.Sprintf("%d log lines were lost\n", 8-i); line != want || uint64(8-i) != stream.Lost() {
				t.Errorf("after %d lines it says %q, want %q; Lost says %d", i, line, want, stream.Lost())
			}
			break
		}
		if !strings.HasPrefix(line, fmt.Sprint(i, " xxx")) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	fmt.Fprintln(stream, "and on")
	if line := next(); line != "and on\n" {
		t.Errorf("then it says %q", line)
	}
}

// A reader that is gone kills nobody; one that takes its place is told.
func TestReaderGoneAndBack(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	reader := func() *os.File {
		r, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := reader()
	w, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	stream := systemd.NewStream(w)
	first.Close()
	log := slog.New(systemd.NewHandler(stream))
	for range 3 {
		log.Info("lost")
	}
	stream.Flush(longFlush)
	if stream.Lost() != 3 {
		t.Fatalf("%d lines are counted as lost, want 3", stream.Lost())
	}
	second := reader()
	defer second.Close()
	log.Info("heard")
	stream.Flush(longFlush)
	lines := bufio.NewScanner(second)
	lines.Scan()
	if !strings.HasSuffix(lines.Text(), " WARN  3 log lines were lost") {
		t.Errorf("the new reader is told %q", lines.Text())
	}
	if lines.Scan(); !strings.HasSuffix(lines.Text(), " INFO  heard") {
		t.Errorf("then it reads %q", lines.Text())
	}
}

// A full disk is a reader that is gone for a while.
func TestFileThatRefuses(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	stream := systemd.NewStream(full)
	fmt.Fprintln(stream, "one\ntwo")
	stream.Flush(longFlush)
	if stream.Lost() != 2 {
		t.Errorf("%d lines are counted as lost, want 2", stream.Lost())
	}
}

// Whoever shares the file may have made it one that does not wait.
func TestFileThatDoesNotWait(t *testing.T) {
	r, w := smallPipe(t)
	stream := systemd.NewStream(w)
	if err := syscall.SetNonblock(int(w.Fd()), true); err != nil {
		t.Fatal(err)
	}
	const all = 1000
	for range all {
		fmt.Fprintln(stream, "a line that does not fit whole at the end of the pipe")
	}
	if read, lost := account(t, r, all); read != all || lost != 0 {
		t.Errorf("of %d lines %d came, %d were lost", all, read, lost)
	}
}

// A service manager that stands still does not hold the daemon up.
func TestManagerStandsStill(t *testing.T) {
	manager(t)
	for range 10_000 { // more than its socket takes
		if err := systemd.Ready("nobody hears it"); err != nil {
			return
		}
	}
	t.Error("10,000 messages that nobody read were taken")
}
