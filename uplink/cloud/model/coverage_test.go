package model

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// What histories must have come to, all of them together: a rule that was
// never needed has not been put to the proof.
const (
	wentBack   = "the gateway went back"
	caught     = "two boards caught"
	trimmed    = "records trimmed"
	voided     = "void records"
	thinnedOut = "readings thinned"
	openEnds   = "open ends"
	closedEnds = "orderly ends"
	unlisted   = "epochs unlisted"
	tails      = "records lost with a tail"
)

var rules = []string{wentBack, caught, trimmed, voided, thinnedOut, openEnds, closedEnds, unlisted, tails,
	cutInStep, killedInStep, crashedIn, gapsOf(gateway.WhyForgottenAfterAck), gapsOf(gateway.WhyDropped)}

func gapsOf(why gateway.Why) string { return "readings in gaps, " + string(why) }

// notice counts what has come of a step.
func (w *testbed) notice() {
	for _, b := range w.boards {
		now := slices.ContainsFunc(b.table.List(), func(c health.Condition) bool { return c.Code == "uplink_alarm" })
		if now && !b.alarmed {
			w.seen.add(caught, 1)
		}
		b.alarmed = now
	}
}

// numbers says what a history was about.
func (v verdict) numbers() map[string]int {
	n := map[string]int{
		"records": v.tally.records, "readings": v.tally.readings, thinnedOut: v.tally.thinned, trimmed: v.tally.trimmed,
		voided: v.tally.void, openEnds: v.tally.open, closedEnds: v.tally.closed, unlisted: v.tally.unlisted,
	}
	for why, lost := range v.tally.gaps {
		n[gapsOf(why)] = int(lost)
	}
	for what, times := range v.w.seen.n {
		n[what] += times
	}
	for name, times := range v.w.drawn {
		n["step "+name] = times
	}
	return n
}

// covered fails if a step or a rule is missing in what histories came to.
func checkCoverage(t *testing.T, sum map[string]int) {
	want := slices.Clone(rules)
	for _, s := range steps {
		want = append(want, "step "+s.name)
	}
	var missing []string
	for _, what := range want {
		if sum[what] == 0 {
			missing = append(missing, what)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no history came to: %s", strings.Join(missing, "; "))
	}
}

func table(sum map[string]int) string {
	var lines []string
	for what, n := range sum {
		lines = append(lines, fmt.Sprintf("%-40s %8d", what, n))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
