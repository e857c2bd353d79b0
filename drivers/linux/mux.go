package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fieldgate/fieldgate/drivers"
)

// Adapter gives the kernel's bus of a channel, for people who look for what is
// connected: "" for every other bus, and where the kernel does not drive the
// multiplexer.
func (a *Buses) Adapter(name string) string {
	c, ok := drivers.ParseChannel(name)
	if !ok {
		return ""
	}
	adapter, _ := adapterOf(a.Root, c) // whoever opens the channel is told
	return adapter
}

// adapterOf gives the kernel's bus of a channel, "i2c-13", where the kernel
// drives the multiplexer; "" where it does not. The device of the multiplexer
// has a link channel-N to it. The number of that bus is another after each
// boot, so nobody may count on it.
func adapterOf(root string, c drivers.Channel) (string, error) {
	number, _ := strings.CutPrefix(c.Bus, "i2c-")
	device := filepath.Join(root, "/sys/bus/i2c/devices", fmt.Sprintf("%s-%04x", number, c.Mux))
	link, err := os.Readlink(filepath.Join(device, fmt.Sprintf("channel-%d", c.Channel)))
	if err == nil {
		return filepath.Base(link), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: look for the kernel's bus of %s: %w", drivers.ErrBus, c, err)
	}
	driver, err := os.Readlink(filepath.Join(device, "driver"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("%w: look who drives the multiplexer of %s: %w", drivers.ErrBus, c, err)
	}
	return "", fmt.Errorf("%w: the kernel's driver %s holds the multiplexer of %s and shows no channel %d",
		drivers.ErrBus, filepath.Base(driver), c, c.Channel)
}
