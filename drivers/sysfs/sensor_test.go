package sysfs_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sysfs"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("long label ", 20)
	got := sysfs.Names([]sysfs.Label{
		{"temperature", "1", ""}, {"temperature", "2", "CPU"}, {"temperature", "3", "Core #0"}, {"temperature", "4", "Core #0"},
		{"voltage", "0", "+3.3 V"}, {"voltage", "1", "!!"}, {"fan", "1", "Core #0"}, {"voltage", "2", long}, {"voltage", "3", long},
		{"power", "1", "A"}, {"power", "2", "A"}, {"power", "3", "A 1"},
	})
	want := []string{"temperature1", "temperature_CPU", "temperature_Core_0_3", "temperature_Core_0_4", "voltage_3_3_V", "voltage1",
		"fan_Core_0",
		got[7], got[8], "power1", "power_A_2", "power_A_1_3"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("names %q\nwant  %q", got, want)
	}
	seen := map[string]bool{}
	for _, name := range got {
		if seen[name] || len(name) > 64 || strings.ContainsAny(name, " #!+.") {
			t.Errorf("name %q", name)
		}
		seen[name] = true
	}
}

// fifo is a device whose only file is one that answer answers: once, as soon
// as somebody reads it, unless stop is closed before.
func fifo(t *testing.T) (open func(context.Context) (drivers.Sensor, error), answer func(text string, stop <-chan struct{})) {
	file := filepath.Join(t.TempDir(), "value")
	if err := syscall.Mkfifo(file, 0o644); err != nil {
		t.Fatal(err)
	}
	look := func(h *sysfs.Hand, _, _ string) (sysfs.Look, error) {
		return sysfs.Look{Channels: []sysfs.Channel{{
			Quantity: drivers.Quantity{Name: "value", Unit: "/"},
			Read: func() (float64, string, error) {
				v, err := h.Number(file)
				return v, "", err
			},
		}}}, nil
	}
	opener := &sysfs.Opener{}
	open = func(ctx context.Context) (drivers.Sensor, error) {
		return opener.Open(ctx, drivers.Target{Options: map[string]any{"sensor": "x"}}, look)
	}
	answer = func(text string, stop <-chan struct{}) {
		for {
			fd, err := syscall.Open(file, syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
			if err == nil {
				_, _ = syscall.Write(fd, []byte(text))
				_ = syscall.Close(fd)
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond): // nobody reads yet
			}
		}
	}
	return open, answer
}

// Many visits, each left and answered at about the same moment: what is given
// is the answer, and nothing is begun before what was left has ended.
func TestVisitsThatAreLeftAndAnsweredAtOnce(t *testing.T) {
	open, answer := fifo(t)
	s, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for i := range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		stop := make(chan struct{})
		var done sync.WaitGroup
		done.Go(func() {
			time.Sleep(time.Duration(i%10) * 4 * time.Millisecond)
			answer("7\n", stop)
		})
		vs, err := s.Read(ctx)
		cancel()
		switch {
		case err == nil && (len(vs) != 1 || vs[0].Value != 7):
			t.Fatalf("read %v", vs)
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("read: %v", err)
		case err != nil:
			left++
		}
		for s, err = open(t.Context()); errors.Is(err, sysfs.ErrStuck); s, err = open(t.Context()) {
			time.Sleep(100 * time.Microsecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		close(stop)
		done.Wait()
	}
	t.Logf("%d of 100 visits were left", left)
}
