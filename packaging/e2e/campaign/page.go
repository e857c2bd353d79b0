package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
)

func summary(e judge.Evidence, v judge.Verdict) string {
	t := v.Tally
	return fmt.Sprintf("campaign: seed %d, %d acts, %d lives; %d readings heard, %d in the cloud's log, %d of those heard are not: "+
		"%d told, %d gone with a card, %d in memory alone; %d claims, %d of them complete; %d faults\n",
		e.Run.Seed, len(e.Acts), len(e.Lives), t.Heard, t.Held, t.Missing, t.Told, t.Gone, t.Memory, t.Claims, t.Complete, len(v.Faults))
}

// page tells what was tried, how often, and what was lost and told.
func page(e judge.Evidence, v judge.Verdict, tried int, note string) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	t := v.Tally
	say("# A campaign of faults\n")
	say("This page is written by `make campaign`; nobody edits it. The real programs run here, %d gateways and a cloud.", len(e.Run.Boards))
	say("Each has a card of its own: ext4 on a disk that forgets or tears what was not flushed when the power goes.")
	say("Faults come at random from a seed. An observer on `/ws` writes down what each gateway shows on site.")
	say("At the end everything is mended, every gateway delivers what it has, and a judge compares.")
	say("The judge knows both programs only from outside.\n")
	if note != "" {
		say("%s\n", note)
	}
	say("| | |\n|---|---|")
	say("| programs | %s |", strings.ReplaceAll(e.Run.Programs, "\n", ", "))
	say("| seed, length of the faults | %d, %v |", e.Run.Seed, e.Run.Asked)
	say("| with healing and draining | %v |", e.Run.Ended.Sub(e.Run.Began).Round(time.Second))
	for _, c := range e.Run.Boards {
		floor := c.MinFree
		if floor == "" {
			floor = "as shipped"
		}
		say("| gateway `%s` | card of %d MiB, `min_free` %s, `flush_interval` %gs |", c.Name, c.Card>>20, floor, c.FlushS)
	}
	say("\n## What was tried\n\n| fault | gateways | cloud | lines |\n|---|---|---|---|")
	pageActs(e, say)
	say("\nA life is one process of a gateway. %d lives ended: %s.\n", len(e.Lives), counts(t.ByHow))
	say("## What became of the readings\n\n| | |\n|---|---|")
	say("| readings that a gateway showed on site | %d |", t.Heard)
	say("| readings in the cloud's log | %d |", t.Held)
	say("| shown and not in the log | %d |", t.Missing)
	say("| … of them told as missing, with the reason | %d |", t.Told)
	say("| … of them only on a card that was exchanged for an older copy | %d |", t.Gone)
	say("| … of them in memory alone, in a life to which the card was of no use from its beginning to its end | %d |", t.Memory)
	say("| … of them nowhere | %d |", t.Missing-t.Told-t.Gone-t.Memory)
	say("| lost from memory, by the end of the life | %s |", counts(t.LostByHow))
	say("| oldest reading lost by a kill or power cut on a sound card, before the end | %v |", t.OldestLost.Round(time.Millisecond))
	say("| orderly stops; of them on a sound card, on a full card with a journal, or with all else delivered | %d; %d |",
		t.Stops, t.SoundStops)
	say("| readings in gaps, by reason | %s |", counts(t.GapsByWhy))
	pageBounds(t, say)
	say("| bounds after a power cut that are larger than what can have come until the next start that knew the time | %d |", t.Wide)
	say("| events stored again, after those of 64 other epochs | %d |", t.EventsAgain)
	say("| answers of `completeness` while it ran; of them, complete up to some time | %d; %d |", t.Claims, t.Complete)
	say("\n## The verdict\n\n| promise broken | how often |\n|---|---|")
	for _, rule := range judge.Rules {
		say("| %s | %d |", rule, len(v.Of(rule)))
	}
	say("\nThen the judge was given the same evidence %d times more, each time with one line dropped, doubled or changed.", tried)
	say("It saw each of them.")
	return b.String()
}

func pageBounds(t judge.Tally, say func(string, ...any)) {
	var said, truly, unbounded, behind uint64
	for _, o := range t.Bounds {
		if o.AtMost == judge.Unbounded {
			unbounded, behind = unbounded+1, behind+o.Truly
			continue
		}
		said, truly = said+o.AtMost, truly+o.Truly
	}
	say("| open ends with a bound: how many; readings that they say can be missing at most; that were shown and are missing | %d; %d; %d |",
		uint64(len(t.Bounds))-unbounded, said, truly)
	say("| open ends that say that nothing bounds them: how many; readings that were shown and are missing there | %d; %d |",
		unbounded, behind)
}

func pageActs(e judge.Evidence, say func(string, ...any)) {
	count := map[string]*[3]int{}
	for _, a := range e.Acts {
		if count[a.What] == nil {
			count[a.What] = &[3]int{}
		}
		switch {
		case a.To == "cloud":
			count[a.What][1]++
		case strings.HasPrefix(a.To, "line "):
			count[a.What][2]++
		default:
			count[a.What][0]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(count)) {
		if what != "everything healed" {
			say("| %s | %d | %d | %d |", what, count[what][0], count[what][1], count[what][2])
		}
	}
}

func counts[N int | uint64](by map[string]N) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%d %s", by[k], k))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
