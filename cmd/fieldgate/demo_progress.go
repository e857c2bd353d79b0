package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 2 * time.Second
	barWidth  = 30
)

// A progress is a bar on a terminal, and a line every few seconds elsewhere.
type progress struct {
	out      io.Writer
	what     string
	total    uint64
	began    time.Time
	shown    time.Time
	terminal *screen // nil: there is none
}

func newProgress(out io.Writer, what string, total uint64) *progress {
	p := &progress{out: out, what: what, total: total, began: time.Now()}
	if s, ok := out.(*screen); ok && s.terminal {
		p.terminal = s
	}
	return p
}

// at shows that done of total are done, if it is time to.
func (p *progress) at(done uint64) {
	every := lineEvery
	if p.terminal != nil {
		every = barEvery
	}
	now := time.Now()
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	p.show(p.line(done, now.Sub(p.began)))
}

func (p *progress) line(done uint64, took time.Duration) string {
	share := 1.0
	if p.total > 0 {
		share = float64(done) / float64(p.total)
	}
	rate := float64(done) / max(took.Seconds(), 1e-3)
	text := fmt.Sprintf("%3.0f %%  %s of %s readings, %s/s", share*100, short(float64(done)), short(float64(p.total)), short(rate))
	if rate > 0 && done < p.total {
		text += fmt.Sprintf(", %.0f s left", float64(p.total-done)/rate)
	}
	if p.terminal != nil {
		full := int(share * barWidth)
		text = "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "] " + text
	}
	return p.what + ": " + text
}

func (p *progress) show(line string) {
	if p.terminal != nil {
		p.terminal.draw(line)
		return
	}
	fmt.Fprintln(p.out, line)
}

// end says what it took; bytes of the card, if that matters.
func (p *progress) end(bytes int64) {
	took := time.Since(p.began)
	line := fmt.Sprintf("%s: %d readings in %.1f s", p.what, p.total, took.Seconds())
	if bytes > 0 && p.total > 0 {
		line += fmt.Sprintf(", %s bytes on the card, %.2f a reading", short(float64(bytes)), float64(bytes)/float64(p.total))
	}
	if p.terminal != nil {
		p.terminal.draw("")
	}
	fmt.Fprintln(p.out, line)
}

// short writes a count with three digits: 51.8 M.
func short(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f G", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f k", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}
