package health_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
)

func newTable() (*health.Table, func() string) {
	var log bytes.Buffer
	stamp := regexp.MustCompile(`(?m)^time=\S+ `)
	return health.New(slog.New(slog.NewTextHandler(&log, nil))), func() string {
		defer log.Reset()
		return stamp.ReplaceAllString(log.String(), "")
	}
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

func TestAConditionIsToldWhenItBeginsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, log := newTable()
		table.Raise("uplink_auth", "", health.Warning, "The cloud refuses the token.")
		equal(t, "begin", log(), `level=WARN msg="The cloud refuses the token." condition=uplink_auth`+"\n")
		began := time.Now()
		time.Sleep(time.Minute)
		table.Raise("uplink_auth", "", health.Warning, "The cloud refuses the token.")
		table.Raise("uplink_auth", "", health.Warning, "The cloud refuses the token (2 tries).")
		equal(t, "no new words", log(), "")
		c := table.List()[0]
		equal(t, "sentence", c.Sentence, "The cloud refuses the token (2 tries).")
		if !c.Since.Equal(began) {
			t.Errorf("it holds since %v, want %v", c.Since, began)
		}
		table.Raise("uplink_auth", "", health.Error, "The gateway was revoked.")
		equal(t, "worse", log(), `level=ERROR msg="The gateway was revoked." condition=uplink_auth`+"\n")
		time.Sleep(30*time.Second + 400*time.Millisecond)
		table.Clear("uplink_auth", "", "The cloud takes the token.")
		equal(t, "end", log(), `level=INFO msg="The cloud takes the token." condition=uplink_auth after=1m30s`+"\n")
		table.Clear("uplink_auth", "", "The cloud takes the token.")
		equal(t, "no second end", log(), "")
		if n := len(table.List()); n != 0 {
			t.Errorf("%d conditions hold", n)
		}
	})
}

func TestSubjectsAreApart(t *testing.T) {
	table, log := newTable()
	table.Raise("sensor_absent", "boiler", health.Error, "No boiler.")
	table.Raise("sensor_absent", "tank", health.Error, "No tank.")
	table.Clear("sensor_absent", "boiler", "")
	table.Clear("sensor_absent", "pump", "Never was.")
	table.Clear("bus_gone", "tank", "Another code.")
	if list := table.List(); len(list) != 1 || list[0].Subject != "tank" {
		t.Errorf("conditions %+v", list)
	}
	equal(t, "log", log(), "level=ERROR msg=\"No boiler.\" condition=sensor_absent subject=boiler\n"+
		"level=ERROR msg=\"No tank.\" condition=sensor_absent subject=tank\n")
}

func TestErrorsComeFirstThenTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, _ := newTable()
		for i, severity := range []health.Severity{health.Warning, health.Error, health.Warning, health.Error} {
			table.Raise(fmt.Sprint(i), "", severity, "x")
			time.Sleep(time.Second)
		}
		table.Raise("b", "1", health.Error, "x")
		table.Raise("a", "2", health.Error, "x")
		var order []string
		for _, c := range table.List() {
			order = append(order, c.Code)
		}
		equal(t, "order", strings.Join(order, " "), "1 3 a b 0 2")
	})
}

func TestChanged(t *testing.T) {
	table, _ := newTable()
	steps := []struct {
		name   string
		change bool
		do     func()
	}{
		{"begins", true, func() { table.Raise("a", "", health.Error, "x") }},
		{"stays", false, func() { table.Raise("a", "", health.Error, "x") }},
		{"is reworded", true, func() { table.Raise("a", "", health.Error, "y") }},
		{"ends", true, func() { table.Clear("a", "", "z") }},
		{"had ended", false, func() { table.Clear("a", "", "z") }},
	}
	for _, s := range steps {
		changed := table.Changed()
		s.do()
		select {
		case <-changed:
			if !s.change {
				t.Errorf("a condition that %s is no change", s.name)
			}
		default:
			if s.change {
				t.Errorf("a condition that %s is a change", s.name)
			}
		}
	}
}

func TestConditionAsJSON(t *testing.T) {
	b, err := json.Marshal(health.Condition{Code: "a", Severity: health.Warning, Sentence: "s", Since: time.Unix(0, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "json", string(b), `{"code":"a","severity":"warning","sentence":"s","since":"1970-01-01T00:00:00Z"}`)
}

// Meant for the race detector.
func TestManyGoroutines(t *testing.T) {
	table := health.New(slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 500 {
				changed := table.Changed()
				table.Raise("a", fmt.Sprint(g), health.Error, "x")
				<-changed
				_ = table.List()
				table.Clear("a", fmt.Sprint(g), "")
			}
		})
	}
	wg.Wait()
	if list := table.List(); len(list) != 0 {
		t.Errorf("%+v were cleared", list)
	}
}
