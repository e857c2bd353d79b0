package linux

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
)

var _ gpio.PinIO = (*Pin)(nil)

// board is a machine with GPIO chips whose one requested line is itself. It
// writes down what happens to the line.
type board struct {
	all   []chipInfo
	err   error // of chips
	lerr  error // of the line
	level int
	done  []string

	options []gpiocdev.LineReqOption // of the last request
}

func (b *board) chips() ([]chipInfo, error) { return b.all, b.err }

func (b *board) request(chip string, offset int, options ...gpiocdev.LineReqOption) (line, error) {
	b.options = options
	b.note(fmt.Sprintf("request %s/%d", chip, offset), options)
	return b, b.lerr
}

func (b *board) note(what string, options any) {
	b.done = append(b.done, fmt.Sprint(what, " ", options))
}

func (b *board) Value() (int, error) { return b.level, b.lerr }
func (b *board) SetValue(v int) error {
	b.level = v
	b.done = append(b.done, fmt.Sprint("set ", v))
	return b.lerr
}

func (b *board) Reconfigure(options ...gpiocdev.LineConfigOption) error {
	b.note("reconfigure", options)
	return b.lerr
}

func (b *board) Close() error {
	b.done = append(b.done, "close")
	return nil
}

func chip(path, label string, n int) chipInfo {
	c := chipInfo{path: path, label: label, lines: make([]lineInfo, n)}
	for i := range c.lines {
		c.lines[i].name = fmt.Sprintf("GPIO%d", i)
	}
	return c
}

func TestFindLine(t *testing.T) {
	exp := chipInfo{path: "gpiochip1", label: "raspberrypi-exp-gpio", lines: []lineInfo{{name: "BT_ON"}, {name: "WL_ON"}}}
	pi3 := chip("gpiochip0", "pinctrl-bcm2835", 54)
	pi3.lines[4].name = "GPIO_GCLK"
	pi5 := chip("gpiochip11", "pinctrl-rp1", 54)
	other := chip("gpiochip0", "gpio-mockup-A", 8)
	for _, c := range []struct {
		all        []chipInfo
		label, pin string
		want       string // chip/offset, or part of the error
	}{
		{[]chipInfo{exp, pi3}, "", "GPIO17", "gpiochip0/17"},
		{[]chipInfo{exp, pi3}, "", "17", "gpiochip0/17"},
		{[]chipInfo{exp, pi3}, "", "GPIO4", "gpiochip0/4"},
		{[]chipInfo{exp, pi3}, "", "GPIO_GCLK", "gpiochip0/4"},
		{[]chipInfo{exp, pi3}, "raspberrypi-exp-gpio", "WL_ON", "gpiochip1/1"},
		{[]chipInfo{other, exp, pi5}, "", "GPIO17", "gpiochip11/17"},
		{[]chipInfo{other}, "", "GPIO3", "gpiochip0/3"},
		{[]chipInfo{other}, "", "GPIO9", "no line"},
		{[]chipInfo{exp}, "", "GPIO1", "no line"},
		{[]chipInfo{pi3}, "", "54", "no line"},
		{[]chipInfo{pi3}, "", "-1", "no line"},
		{[]chipInfo{other, exp}, "", "GPIO3", "raspberrypi-exp-gpio"},
		{[]chipInfo{pi3}, "pinctrl-rp1", "GPIO3", "pinctrl-bcm2835"},
		{nil, "", "GPIO3", "no GPIO chip"},
	} {
		b := &board{all: c.all}
		p, err := openPin(c.label, c.pin, b)
		got := fmt.Sprint(err)
		if err == nil {
			err = p.In(gpio.PullNoChange, gpio.NoEdge)
			got = strings.Fields(fmt.Sprint(b.done, err))[1]
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%q of %q: %s, want %s", c.pin, c.label, got, c.want)
		}
	}
	b := &board{err: unix.EACCES}
	if _, err := openPin("", "GPIO17", b); !errors.Is(err, drivers.ErrBus) || !strings.Contains(err.Error(), "group") {
		t.Errorf("not allowed: %v", err)
	}
}

func pin(t *testing.T, b *board) *Pin {
	t.Helper()
	b.all = []chipInfo{chip("gpiochip0", "pinctrl-bcm2711", 54)}
	p, err := openPin("", "GPIO17", b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (b *board) want(t *testing.T, want ...string) {
	t.Helper()
	if !reflect.DeepEqual(b.done, want) {
		t.Errorf("the line saw %q, want %q", b.done, want)
	}
	b.done = nil
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

func TestInput(t *testing.T) {
	b := &board{}
	p := pin(t, b)
	b.want(t) // opening takes nothing
	if _, err := p.ReadLevel(); err == nil || p.Read() != gpio.Low || p.Function() != "" {
		t.Error("read before In")
	}
	must(t, p.In(gpio.PullUp, gpio.NoEdge))
	b.want(t, fmt.Sprintf("request gpiochip0/17 %v", []any{gpiocdev.AsInput, gpiocdev.WithPullUp, "fieldgate"}))
	must(t, p.In(gpio.PullDown, gpio.NoEdge), p.In(gpio.PullNoChange, gpio.NoEdge))
	b.want(t, fmt.Sprintf("reconfigure %v", []any{gpiocdev.AsInput, gpiocdev.WithPullDown}),
		fmt.Sprintf("reconfigure %v", []any{gpiocdev.AsInput}))
	b.level = 1
	if l, err := p.ReadLevel(); l != gpio.High || err != nil || p.Function() != "IN" || p.Number() != 17 {
		t.Errorf("level %v, %v", l, err)
	}
	b.want(t) // looking changes nothing
	if err := p.In(gpio.PullUp, gpio.BothEdges); err == nil {
		t.Error("edges accepted")
	}
	must(t, p.Halt(), p.Halt())
	b.want(t, "close")
}

func TestOutputIsNeverDisturbed(t *testing.T) {
	b := &board{}
	p := pin(t, b)
	must(t, p.Out(gpio.High))
	b.want(t, fmt.Sprintf("request gpiochip0/17 %v", []any{gpiocdev.AsOutput(1), "fieldgate"}))
	b.level = 1
	if l, err := p.ReadLevel(); l != gpio.High || err != nil || p.Read() != gpio.High || p.Function() != "OUT" {
		t.Errorf("output reads %v, %v", l, err)
	}
	_ = fmt.Sprint(p, p.Name(), p.Number(), p.Pull(), p.DefaultPull(), p.WaitForEdge(-1))
	b.want(t) // looking changes nothing
	must(t, p.Out(gpio.Low))
	b.want(t, "set 0")
	must(t, p.In(gpio.Float, gpio.NoEdge), p.Out(gpio.High))
	b.want(t, fmt.Sprintf("reconfigure %v", []any{gpiocdev.AsInput, gpiocdev.WithBiasDisabled}),
		fmt.Sprintf("reconfigure %v", []any{gpiocdev.AsOutput(1)}))
	if err := p.PWM(0, 0); err == nil {
		t.Error("PWM accepted")
	}
}

func TestLineErrors(t *testing.T) {
	b := &board{}
	p := pin(t, b)
	b.all[0].lines[17].consumer = "spi0 CS1"
	b.lerr = unix.EBUSY
	if err := p.In(gpio.PullUp, gpio.NoEdge); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "spi0 CS1") {
		t.Errorf("busy: %v", err)
	}
	if _, err := p.ReadLevel(); err == nil {
		t.Error("a line that was refused can be read")
	}
	b.lerr = nil
	must(t, p.In(gpio.PullUp, gpio.NoEdge))
	b.lerr = unix.ENODEV
	if _, err := p.ReadLevel(); !errors.Is(err, drivers.ErrBus) || !errors.Is(err, unix.ENODEV) {
		t.Errorf("chip gone: %v", err)
	}
	for _, err := range []error{p.In(gpio.PullUp, gpio.NoEdge), p.Out(gpio.High)} {
		if !errors.Is(err, drivers.ErrBus) {
			t.Errorf("chip gone: %v", err)
		}
	}
	// It comes back under another number.
	must(t, p.Halt())
	b.lerr, b.done = nil, nil
	b.all[0].path = "gpiochip7"
	must(t, p.In(gpio.PullNoChange, gpio.NoEdge))
	b.want(t, fmt.Sprintf("request gpiochip7/17 %v", []any{gpiocdev.AsInput, "fieldgate"}))
}

// This machine's own GPIO, if it has any: finding a line takes none.
func TestCharacterDevice(t *testing.T) {
	all, err := cdev{}.chips()
	if err != nil {
		t.Logf("chips: %v", err)
	}
	for _, c := range all {
		if c.label == "" || len(c.lines) == 0 {
			t.Errorf("chip %+v", c)
		}
	}
	if _, err := OpenPin("no such chip", "GPIO17"); !errors.Is(err, drivers.ErrBus) {
		t.Errorf("open: %v", err)
	}
	if _, err := (cdev{}).request("gpiochip999", 0); err == nil {
		t.Error("a chip that is not there gave a line")
	}
}
