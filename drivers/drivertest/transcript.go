package drivertest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/fieldgate/fieldgate/drivers"
)

// A Transfer is what happened in one i2c.Bus.Tx.
type Transfer struct {
	Addr uint16
	W, R []byte // R is empty when it failed
	Err  error
}

// String gives the line of a transcript: address, bytes written, "->" and
// bytes read or what went wrong, in hex: "48 01 -> 60", "48 00 -> absent".
func (t Transfer) String() string {
	line := fmt.Sprintf("%02x %x", t.Addr, t.W)
	switch {
	case errors.Is(t.Err, drivers.ErrAbsent):
		return line + " -> absent"
	case errors.Is(t.Err, drivers.ErrBus):
		return line + " -> bus"
	case t.Err != nil:
		return line + " -> error"
	case len(t.R) > 0:
		return line + fmt.Sprintf(" -> %x", t.R)
	}
	return line
}

// A Recorder is a bus that remembers what happens on the one behind it. For
// one goroutine.
type Recorder struct {
	i2c.Bus
	Transfers []Transfer
	off       bool // nothing is remembered
}

// Record puts a recorder before a bus.
func Record(b i2c.Bus) *Recorder { return &Recorder{Bus: b} }

// Tx passes the transfer on.
func (r *Recorder) Tx(addr uint16, w, rd []byte) error {
	err := r.Bus.Tx(addr, w, rd)
	if r.off {
		return err
	}
	t := Transfer{Addr: addr, W: slices.Clone(w), Err: err}
	if err == nil {
		t.R = slices.Clone(rd)
	}
	r.Transfers = append(r.Transfers, t)
	return err
}

// Transcript gives what was recorded, a line per transfer.
func (r *Recorder) Transcript() string {
	var b strings.Builder
	for _, t := range r.Transfers {
		fmt.Fprintln(&b, t)
	}
	return b.String()
}

// replay is a bus that expects the transfers of a transcript, in order.
type replay struct {
	t    testing.TB
	file string
	left []Transfer
}

// Replay gives a bus that answers as the transcript in a file says. The test
// fails when a driver does anything else, and when it does less. Lines that
// begin with # are comments.
func Replay(t testing.TB, file string) i2c.Bus {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := &replay{t: t, file: file}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		tr, err := parseTransfer(line)
		if err != nil {
			t.Fatalf("%s: %q: %v", file, line, err)
		}
		p.left = append(p.left, tr)
	}
	t.Cleanup(func() {
		if len(p.left) > 0 && !t.Failed() {
			t.Errorf("%s: the driver stopped before %q", file, p.left[0])
		}
	})
	return p
}

var errRecorded = errors.New("failed, says the transcript")

func parseTransfer(line string) (Transfer, error) {
	before, after, _ := strings.Cut(line, "->")
	var tr Transfer
	var w string
	if _, err := fmt.Sscanf(before, "%x", &tr.Addr); err != nil {
		return tr, fmt.Errorf("address: %w", err)
	}
	if f := strings.Fields(before); len(f) > 1 {
		w = strings.Join(f[1:], "")
	}
	var err error
	if tr.W, err = hex.DecodeString(w); err != nil {
		return tr, fmt.Errorf("bytes written: %w", err)
	}
	switch r := strings.TrimSpace(after); r {
	case "absent":
		tr.Err = drivers.ErrAbsent
	case "bus":
		tr.Err = drivers.ErrBus
	case "error":
		tr.Err = errRecorded
	default:
		if tr.R, err = hex.DecodeString(strings.ReplaceAll(r, " ", "")); err != nil {
			return tr, fmt.Errorf("bytes read: %w", err)
		}
	}
	return tr, nil
}

func (p *replay) String() string                    { return "replay" }
func (p *replay) SetSpeed(f physic.Frequency) error { return nil }

func (p *replay) Tx(addr uint16, w, r []byte) error {
	p.t.Helper()
	if len(p.left) == 0 {
		p.t.Fatalf("%s: transfer %02x %x after its end", p.file, addr, w)
	}
	want := p.left[0]
	p.left = p.left[1:]
	if addr != want.Addr || !bytes.Equal(w, want.W) || want.Err == nil && len(r) != len(want.R) {
		p.t.Fatalf("%s: driver does %02x %x and reads %d, want %q", p.file, addr, w, len(r), want)
	}
	copy(r, want.R)
	return want.Err
}
