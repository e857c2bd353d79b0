package linux

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/drivers"
)

// The labels of the chip that carries a Raspberry Pi's header: Pi 5, Pi 4,
// all before. On them, a line's offset is its BCM number. Numbers of chips
// mean nothing: they changed from kernel to kernel (raspberrypi/linux#6144).
var headerChips = []string{"pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835"}

// lineInfo is a line as its chip tells it; chipInfo a chip.
type lineInfo struct{ name, consumer string }

type chipInfo struct {
	path, label string
	lines       []lineInfo
}

func gpioHint(err error) string {
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return " (is the user in the group of that file, gpio?)"
	}
	return ""
}

// pick chooses by label.
func pick(all []chipInfo, label string) (chipInfo, error) {
	want := []string{label}
	if label == "" {
		want = headerChips
	}
	for _, w := range want {
		if i := slices.IndexFunc(all, func(c chipInfo) bool { return c.label == w }); i >= 0 {
			return all[i], nil
		}
	}
	if label == "" && len(all) == 1 {
		return all[0], nil
	}
	labels := make([]string, len(all))
	for i, c := range all {
		labels[i] = c.label
	}
	return chipInfo{}, fmt.Errorf("%w: no GPIO chip with label %s; there are: %s",
		drivers.ErrBus, strings.Join(want, ", "), strings.Join(labels, ", "))
}

// offset finds a line by name or number. Where a header's line bears another
// name (GPIO4 is "GPIO_GCLK" in the mainline device tree of the Pi 3), the
// BCM number counts.
func (c chipInfo) offset(name string) (int, error) {
	if i := slices.IndexFunc(c.lines, func(l lineInfo) bool { return l.name == name }); i >= 0 {
		return i, nil
	}
	number := name
	if slices.Contains(headerChips, c.label) {
		number = strings.TrimPrefix(name, "GPIO")
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= len(c.lines) {
		return 0, fmt.Errorf("no line %q on GPIO chip %s, which has %d lines", name, c.label, len(c.lines))
	}
	return n, nil
}

// cdev is the kernel's GPIO character device.
type cdev struct{}

// chips looks at every chip, which requests no line. A chip that cannot be
// opened is left out unless none can.
func (cdev) chips() (all []chipInfo, err error) {
	for _, name := range gpiocdev.Chips() {
		c, openErr := gpiocdev.NewChip(name)
		if openErr != nil {
			err = errors.Join(err, openErr)
			continue
		}
		info := chipInfo{path: name, label: c.Label, lines: make([]lineInfo, c.Lines())}
		for i := range info.lines {
			l, _ := c.LineInfo(i) // only tells names
			info.lines[i] = lineInfo{l.Name, l.Consumer}
		}
		_ = c.Close()
		all = append(all, info)
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, err
}

func (cdev) request(chip string, offset int, options ...gpiocdev.LineReqOption) (line, error) {
	l, err := gpiocdev.RequestLine(chip, offset, options...)
	if err != nil {
		return nil, err // not l: a nil *Line in an interface is not nil
	}
	return l, nil
}
