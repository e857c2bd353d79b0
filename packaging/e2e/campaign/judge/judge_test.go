package judge_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A folder of evidence, as a campaign writes it: two lives of one gateway. The
// first is killed after 100 readings: 60 are in the log, then 10 are told as a
// gap, 20 more are in the log, and the end says that at most 15 are missing
// behind them. The second stops in order.
func evidence(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	first, second := epochName(1), epochName(2)
	write(t, dir, judge.RunFile, judge.Run{Drained: true, Boards: []judge.Board{{Name: "g", FlushS: 1, Rate: 10, Channels: 1}}})
	for seq := range 100 {
		write(t, dir, judge.HeardFile, heard(1, first, seq, noon))
		write(t, dir, judge.HeardFile, heard(2, second, seq, noon.Add(20*time.Second)))
	}
	for n, how := range []string{judge.Killed, judge.Stopped} {
		began := noon.Add(time.Duration(n) * 20 * time.Second)
		life := judge.Life{Board: "g", Gateway: "g", N: n + 1, Began: began, Ended: began.Add(10 * time.Second), How: how, Spoke: true}
		life.Sound = true
		write(t, dir, judge.LivesFile, life)
	}
	for seq := range 100 {
		if seq < 60 || seq >= 70 && seq < 90 {
			write(t, dir, judge.CloudFile, held(first, seq, noon))
		}
		write(t, dir, judge.CloudFile, held(second, seq, noon.Add(20*time.Second)))
	}
	raw(t, dir, judge.CloudFile, `{"type":"gap","gateway_id":"g","epoch":"`+first+`","first":61,"n":10,"why":"damaged"}`)
	raw(t, dir, judge.CloudFile, `{"type":"end","gateway_id":"g","epoch":"`+first+`","why":"unclean_stop","after":90,"at_most":15}`)
	raw(t, dir, judge.CloudFile, `{"type":"end","gateway_id":"g","epoch":"`+second+`","closed":100}`)
	raw(t, dir, judge.StoresFile, `{"board":"g","gateway_id":"g","epoch":"`+second+
		`","seq":1,"device_id":"boiler","quantity":"temperature","value":0,"timestamp":"2026-03-01T12:00:20Z"}`)
	return dir
}

func epochName(n int) string { return fmt.Sprintf("%032x", n) }

func heard(life int, epoch string, seq int, from time.Time) judge.Heard {
	at, v := from.Add(time.Duration(seq)*100*time.Millisecond), float64(seq)
	return judge.Heard{
		At: at, Board: "g", Life: life, Gateway: "g", Device: "boiler", Quantity: "temperature", Value: &v, Timestamp: at,
		Epoch: epoch, Seq: uint64(seq + 1),
	}
}

func held(epoch string, seq int, from time.Time) judge.Line {
	at, v := from.Add(time.Duration(seq)*100*time.Millisecond), float64(seq)
	return judge.Line{Gateway: "g", Device: "boiler", Quantity: "temperature", Value: &v, Timestamp: at, Epoch: epoch, Seq: uint64(seq + 1)}
}

func write(t *testing.T, dir, file string, line any) {
	t.Helper()
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	raw(t, dir, file, string(text))
}

func raw(t *testing.T, dir, file, line string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
}

func judged(t *testing.T, dir string) judge.Verdict {
	t.Helper()
	e, err := judge.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return judge.Judge(e)
}

// In the recorded evidence of a run without a fault the judge finds only that
// the gap of readings that were damaged, on a card that was sound, is older
// than the window.
func TestTheJudgeAcquits(t *testing.T) {
	v := judged(t, evidence(t))
	for _, f := range v.Faults {
		if f.Rule != judge.RuleWindow {
			t.Errorf("%s: %s", f.Rule, f.Text)
		}
	}
	if v.Tally.Heard != 200 || v.Tally.Held != 180 || v.Tally.Missing != 20 || v.Tally.Told != 20 {
		t.Errorf("the tally is %+v", v.Tally)
	}
}

// Each change of a file of the evidence is seen, and is given the right name.
func TestTheJudgeSees(t *testing.T) {
	for name, c := range map[string]struct {
		file, old, new string // the first line that has old; new: what stands in its place, "-" for nothing, "+" for twice
		rule           string
	}{
		"a line dropped":             {judge.CloudFile, `"seq":7,`, "-", judge.RuleNowhere},
		"a line dropped, as a hole":  {judge.CloudFile, `"seq":7,`, "-", judge.RuleHole},
		"a line doubled":             {judge.CloudFile, `"seq":7,`, "+", judge.RuleTwice},
		"a value changed":            {judge.CloudFile, `"value":7,`, `"value":7.5,`, judge.RuleValue},
		"a value that is none":       {judge.CloudFile, `"value":7,`, `"value":null,`, judge.RuleValue},
		"a quantity changed":         {judge.CloudFile, `"quantity":"temperature"`, `"quantity":"humidity"`, judge.RuleValue},
		"a time changed":             {judge.CloudFile, `"2026-03-01T12:00:00.7Z"`, `"2026-03-01T12:00:01.7Z"`, judge.RuleValue},
		"a gap removed":              {judge.CloudFile, `"type":"gap"`, "-", judge.RuleNowhere},
		"a gap removed, as a hole":   {judge.CloudFile, `"type":"gap"`, "-", judge.RuleHole},
		"a gap one too short":        {judge.CloudFile, `"n":10`, `"n":9`, judge.RuleHole},
		"a gap one too long":         {judge.CloudFile, `"n":10`, `"n":11`, judge.RuleTwice},
		"an end removed":             {judge.CloudFile, `"unclean_stop"`, "-", judge.RuleNowhere},
		"a bound that is too small":  {judge.CloudFile, `"at_most":15`, `"at_most":9`, judge.RuleBound},
		"a bound beyond all reason":  {judge.CloudFile, `"at_most":15`, `"at_most":2643052907`, judge.RuleWide},
		"a stop that lost":           {judge.CloudFile, `"epoch":"` + epochName(2) + `","seq":50,`, "-", judge.RuleStop},
		"a kill that lost too much":  {judge.CloudFile, `"epoch":"` + epochName(1) + `","seq":50,`, "-", judge.RuleWindow},
		"a line doubled on the card": {judge.StoresFile, `"seq":1,`, "+", judge.RuleTwice},
		"a value changed there":      {judge.StoresFile, `"value":0,`, `"value":1,`, judge.RuleValue},
		"a name for two on site":     {judge.HeardFile, `"seq":7}`, "+7", judge.RuleTwice},
		"a gateway that ended":       {judge.LivesFile, `"how":"kill"`, `"how":"self"`, judge.RuleStart},
		"a stop that failed":         {judge.LivesFile, `"how":"stop","code":0`, `"how":"stop","code":1`, judge.RuleStop},
		"not drained":                {judge.RunFile, `"drained":true`, `"drained":false`, judge.RuleDrain},
	} {
		t.Run(name, func(t *testing.T) {
			dir := evidence(t)
			before := len(judged(t, dir).Of(c.rule))
			change(t, filepath.Join(dir, c.file), c.old, c.new)
			if found := judged(t, dir).Of(c.rule); len(found) == before && (before == 0 || !strings.Contains(fmt.Sprint(found), " 1")) {
				t.Errorf("%q is not seen to be broken", c.rule)
			}
		})
	}
}

// An event that comes again is a fault until the cloud has stored those of 64 other epochs: it may forget it then.
func TestAnEventMayComeAgainAfter64Epochs(t *testing.T) {
	event := func(epoch int) judge.Line {
		return judge.Line{Type: "event", Kind: "boot", Gateway: "g", Epoch: epochName(100 + epoch), Seq: 1}
	}
	for others, faults := range map[int]int{0: 1, 63: 1, 64: 0} {
		dir := evidence(t)
		for epoch := range others + 1 {
			write(t, dir, judge.CloudFile, event(epoch))
		}
		write(t, dir, judge.CloudFile, event(0))
		v := judged(t, dir)
		if n := len(v.Of(judge.RuleTwice)); n != faults || v.Tally.EventsAgain != 1-faults {
			t.Errorf("after %d other epochs: %d faults, %d events counted as told again", others, n, v.Tally.EventsAgain)
		}
	}
}

// change alters the first line that has old in it.
func change(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines, done := bytes.SplitAfter(text, []byte("\n")), false
	for i, l := range lines {
		if done || !bytes.Contains(l, []byte(old)) {
			continue
		}
		done = true
		switch new {
		case "-":
			lines[i] = nil
		case "+":
			lines[i] = bytes.Repeat(l, 2)
		case "+7":
			lines[i] = append(bytes.Clone(l), bytes.Replace(l, []byte("boiler"), []byte("tank"), 1)...)
		default:
			lines[i] = bytes.Replace(l, []byte(old), []byte(new), 1)
		}
	}
	if !done {
		t.Fatalf("no line of %s has %s", path, old)
	}
	if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A reading that was taken before the board's clock was set, and shown after,
// is derived from what was known before.
func TestAReadingShownWhenTheClockIsSet(t *testing.T) {
	dir := evidence(t)
	change(t, filepath.Join(dir, judge.CloudFile), `"2026-03-01T12:00:00.7Z"`, `"2026-03-01T12:00:01.7Z"`)
	raw(t, dir, judge.CloudFile, `{"type":"event","gateway_id":"g","kind":"anchor","epoch":"`+epochName(1)+
		`","seq":1,"timestamp":"2026-03-01T12:00:00.7Z"}`)
	if found := judged(t, dir).Of(judge.RuleValue); len(found) > 0 {
		t.Errorf("%v", found)
	}
}

// What completeness claimed while it ran must be so at the end.
func TestTheJudgeRemembersClaims(t *testing.T) {
	epoch := epochName(1)
	for name, c := range map[string]struct {
		claim  string
		faults int
	}{
		"complete up to what it had": {`"to":"2026-03-01T12:00:05.9Z","complete":true,"epochs":[{"epoch":"` + epoch + `","upto":60}]`, 0},
		"more came later":            {`"to":"2026-03-01T12:00:05.9Z","complete":true,"epochs":[{"epoch":"` + epoch + `","upto":40}]`, 1},
		"an epoch came later":        {`"from":"2026-03-01T12:00:22Z","to":"2026-03-01T12:00:25Z","complete":true,"epochs":[]`, 1},
		"something is missing":       {`"to":"2026-03-01T12:00:09Z","complete":true,"epochs":[{"epoch":"` + epoch + `","upto":90}]`, 1},
		"not complete, and so it is": {`"to":"2026-03-01T12:00:09Z","complete":false,"epochs":[]`, 0},
		"complete up to, in the sentence": {`"to":"2026-03-01T12:00:09Z","sentence":"Complete up to 2026-03-01T12:00:05.900Z; what was taken ` +
			`after that has not arrived yet.","epochs":[{"epoch":"` + epoch + `","upto":40}]`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := evidence(t)
			raw(t, dir, judge.ClaimsFile, `{"at":"2026-03-01T12:00:10Z","gateway_id":"g",`+c.claim+`}`)
			if found := judged(t, dir).Of(judge.RuleClaim); len(found) != c.faults {
				t.Errorf("%d faults, want %d: %v", len(found), c.faults, found)
			}
		})
	}
}

// The alterations that each campaign tries on its own evidence are all seen
// here.
func TestEachAlterationIsSeen(t *testing.T) {
	e, err := judge.Load(evidence(t))
	if err != nil {
		t.Fatal(err)
	}
	if tried, unseen := judge.Try(e); tried != len(judge.Alterations) || unseen != nil {
		t.Errorf("%d of %d could be tried; not seen: %v", tried, len(judge.Alterations), unseen)
	}
}
