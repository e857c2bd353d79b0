package linux

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
)

// linked makes a root with links, by path.
func linked(t *testing.T, links map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, to := range links {
		file := filepath.Join(root, "sys/bus/i2c/devices", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, file); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// anyAdapter is an adapter of every number.
type anyAdapter struct{ *adapter }

func (a anyAdapter) open(string) (int, error) { return a.adapter.open("/dev/i2c-1") }

// The kernel's bus of a channel is found by the link that its multiplexer has,
// whatever the number.
func TestMuxOfTheKernel(t *testing.T) {
	root := linked(t, map[string]string{
		"1-0070/driver":    "../../../bus/i2c/drivers/pca954x",
		"1-0070/channel-3": "../i2c-13",
		"1-0070/channel-4": "../i2c-4",
		"1-0071/driver":    "../../../bus/i2c/drivers/other",
	})
	a := anyAdapter{&adapter{funcs: 0x0eff0009}}
	buses := &Buses{Root: root}
	for name, want := range map[string]string{
		"i2c-1/0x70/3": "i2c-13", "i2c-1/0x70/4": "i2c-4", "i2c-1": "i2c-1",
		"i2c-1/0x72/3": "i2c-1/0x72/3", "i2c-2/0x70/3": "i2c-2/0x70/3", // selected here
	} {
		b, err := buses.open(name, a)
		if err != nil || b.String() != want {
			t.Errorf("%s is %v, %v, want %s", name, b, err, want)
		}
	}
	for name, says := range map[string]string{
		"i2c-1/0x70/5": "pca954x holds the multiplexer of i2c-1/0x70/5 and shows no channel 5",
		"i2c-1/0x71/0": "other holds the multiplexer",
	} {
		if _, err := buses.open(name, a); !errors.Is(err, drivers.ErrBus) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := buses.open("spi-0/0x70/3", a); err == nil || errors.Is(err, drivers.ErrBus) {
		t.Errorf("a wrong name: %v", err)
	}
}

// All channels that are selected here, and their bus, share the lock of the
// wires; another bus has its own.
func TestMuxSharesTheWires(t *testing.T) {
	buses := &Buses{Root: t.TempDir()}
	if buses.lock("i2c-1") != buses.lock("i2c-1") || buses.lock("i2c-1") == buses.lock("i2c-2") {
		t.Error("locks are not those of the wires")
	}
	a := anyAdapter{&adapter{funcs: 0x0eff0009}}
	b, err := buses.open("i2c-1/0x70/3", a)
	if err != nil {
		t.Fatal(err)
	}
	buses.lock("i2c-1").Lock()
	done := make(chan error)
	go func() { done <- b.Tx(0x48, []byte{0x10}, nil) }()
	select {
	case <-done:
		t.Error("a transfer although the wires are held")
	default:
	}
	buses.lock("i2c-1").Unlock()
	if err := <-done; err != nil || a.last[0] != 0 {
		t.Errorf("transfer: %v; the last byte was % x, want 00: no channel", err, a.last)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Tx(0x48, []byte{0x10}, nil); !errors.Is(err, drivers.ErrBus) {
		t.Errorf("after close: %v", err)
	}
}
