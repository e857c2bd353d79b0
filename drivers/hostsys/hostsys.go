// Package hostsys reads the board itself: load, memory, disk, uptime and the
// temperatures that the kernel shows.
package hostsys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/drivers"
)

// most is how many figures are read, however many temperatures a machine has.
const most = 64

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:     "hostsys",
		Doc:      "the board itself: load, memory, disk, uptime, temperatures",
		Bus:      drivers.BusNone,
		Interval: 10 * time.Second,
		Timeout:  2 * time.Second,

		MostQuantities: most,
		Options: []drivers.Option{{
			Name: "path", Default: "/var/lib/fieldgate",
			Doc: "The folder whose file system disk_free is about; / if there is no such folder.",
		}},
		Open: open,
	}
}

// A figure is one quantity and how to read it.
type figure struct {
	drivers.Quantity
	read func() (float64, error)
}

type sensor struct {
	figures []figure
	values  []drivers.Value
}

// open keeps the figures that can be read. A sandbox may hide any of them;
// one that appears later is found by the next Open.
func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	root := t.SysRoot
	all := append(basics(root, t.Options["path"].(string)), temperatures(root)...)
	s := &sensor{}
	var errs error
	for _, f := range all {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("look at the board: %w", err)
		}
		if _, err := f.read(); err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		s.figures = append(s.figures, f)
	}
	s.figures = s.figures[:min(len(s.figures), most)]
	if len(s.figures) == 0 {
		return nil, fmt.Errorf("nothing about the board can be read: %w", errs)
	}
	return s, nil
}

// Quantities lists what Open found, in an order that a restart keeps.
func (s *sensor) Quantities() []drivers.Quantity {
	qs := make([]drivers.Quantity, len(s.figures))
	for i, f := range s.figures {
		qs[i] = f.Quantity
	}
	return qs
}

// Read gives what can be read, and an error only if nothing can.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	s.values = s.values[:0]
	var errs error
	for _, f := range s.figures {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read the board: %w", err)
		}
		v, err := f.read()
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		s.values = append(s.values, drivers.Value{Quantity: f.Name, Value: v})
	}
	if len(s.values) == 0 {
		return nil, fmt.Errorf("nothing about the board can be read: %w", errs)
	}
	return s.values, nil
}

// Halt has nothing to do.
func (s *sensor) Halt() error { return nil }

func basics(root, path string) []figure {
	return []figure{
		{drivers.Quantity{Name: "load1", Unit: "/"}, firstNumber(filepath.Join(root, "proc/loadavg"))},
		{drivers.Quantity{Name: "uptime", Unit: "s"}, firstNumber(filepath.Join(root, "proc/uptime"))},
		{drivers.Quantity{Name: "memory_available", Unit: "B"}, memoryAvailable(filepath.Join(root, "proc/meminfo"))},
		{drivers.Quantity{Name: "disk_free", Unit: "B"}, diskFree(root, path)},
	}
}

// firstNumber reads a file that begins with a number: the load of the last
// minute, or the seconds since boot (proc(5)).
func firstNumber(file string) func() (float64, error) {
	return func() (float64, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
		v, err := strconv.ParseFloat(first, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		return v, nil
	}
}

// memoryAvailable is what programs can still get without swapping, in bytes:
// the line "MemAvailable: 123 kB" of proc(5), where kB are KiB.
func memoryAvailable(file string) func() (float64, error) {
	return func() (float64, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) != 3 || f[0] != "MemAvailable:" {
				continue
			}
			kib, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			return kib * 1024, nil
		}
		return 0, fmt.Errorf("%s: no MemAvailable", file)
	}
}

// diskFree is what a user who is not root can still write, in bytes.
func diskFree(root, path string) func() (float64, error) {
	return func() (float64, error) {
		var fs unix.Statfs_t
		err := unix.Statfs(filepath.Join(root, path), &fs)
		if errors.Is(err, unix.ENOENT) {
			err = unix.Statfs(root, &fs)
		}
		if err != nil {
			return 0, fmt.Errorf("free space at %s: %w", path, err)
		}
		return float64(fs.Bavail) * float64(fs.Frsize), nil
	}
}
