package sim_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestWanderIsBelievable(t *testing.T) {
	room := sim.Wander(21, 2, 10*time.Minute)
	lo, hi := math.Inf(1), math.Inf(-1)
	for at := time.Duration(0); at < time.Hour; at += time.Second {
		v := room(at)
		lo, hi = min(lo, v), max(hi, v)
		if step := math.Abs(room(at+time.Second) - v); step > 0.2 {
			t.Fatalf("jumps by %v within a second at %v", step, at)
		}
		if v != room(at) {
			t.Fatalf("not the same at %v", at)
		}
	}
	if lo < 21-2.6 || hi > 21+2.6 || hi-lo < 3 {
		t.Errorf("moves between %v and %v", lo, hi)
	}
}

func TestPin(t *testing.T) {
	now := time.Duration(0)
	p := sim.NewPin("door", func() gpio.Level { return now >= time.Minute })
	if _, err := p.ReadLevel(); err == nil {
		t.Error("read before In")
	}
	if err := p.In(gpio.PullUp, gpio.BothEdges); err == nil {
		t.Error("edges accepted")
	}
	if err := p.In(gpio.PullUp, gpio.NoEdge); err != nil || p.Pull() != gpio.PullUp || p.Read() != gpio.Low {
		t.Errorf("In: %v, pull %v, level %v", err, p.Pull(), p.Read())
	}
	now = time.Hour
	if p.Read() != gpio.High {
		t.Error("the level does not follow the function")
	}
	p.Set(gpio.Low)
	if p.Read() != gpio.Low {
		t.Error("the level does not follow Set")
	}
	p.Fail(bytes.ErrTooLarge)
	if _, err := p.ReadLevel(); err != bytes.ErrTooLarge {
		t.Errorf("error = %v", err)
	}
}
