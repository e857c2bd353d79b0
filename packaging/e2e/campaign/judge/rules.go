package judge

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// What the judge allows beyond a promise, because it looks from outside.
const (
	clockSlack  = 15 * time.Second       // a board's clock that only the line has set, and later sets better
	stampSlack  = 10 * time.Millisecond  // between readings that such a change moves together
	claimSlack  = time.Second            // at the edges of a range
	windowSlack = 500 * time.Millisecond // a commit may just have been slower than all before …
	boundFactor = 2.1                    // what a gateway may count with, in the place of the rate that it is set to
	restart     = 3 * time.Second        // from when a program is started until it counts
	speakWithin = 2 * time.Minute        // from the start of a program to its first reading
	stopWithin  = 90 * time.Second       // systemd kills it then
)

// values demands that what the cloud says is what was heard.
func (c *court) values() {
	for n, h := range c.heard {
		l := c.held[n]
		if l == nil {
			continue
		}
		if h.Device != l.Device || h.Quantity != l.Quantity || !same(h.Value, l.Value) {
			c.blame(RuleValue, "%v was heard as %s; the cloud says %s %s %s", n, h.said(), l.Device, l.Quantity, text(l.Value))
		}
	}
	c.stamps()
}

// clockSet tells whether the board's clock was set when a reading was taken: it
// may have been taken before, and shown after.
func (c *court) clockSet(h *Heard) bool {
	return slices.ContainsFunc(c.set[[2]string{h.Gateway, h.Epoch}], func(t time.Time) bool {
		return h.Timestamp.Sub(t).Abs() < claimSlack
	})
}

// stamps demands that what the cloud says of times is what was heard. What is
// known of a board's clock may have become better since: that moves all
// readings of some time together, and not far.
func (c *court) stamps() {
	epochs := map[[2]string][]*Heard{}
	for n, h := range c.heard {
		if c.held[n] != nil {
			key := [2]string{n.Gateway, n.Epoch}
			epochs[key] = append(epochs[key], h)
		}
	}
	for _, hs := range epochs {
		slices.SortFunc(hs, func(a, b *Heard) int { return cmp.Compare(a.Seq, b.Seq) })
		moved := make([]time.Duration, len(hs))
		for i, h := range hs {
			moved[i] = c.held[h.Name()].Timestamp.Sub(h.Timestamp)
		}
		for i, h := range hs {
			alone := (i == 0 || (moved[i]-moved[i-1]).Abs() > stampSlack) && (i+1 == len(hs) || (moved[i]-moved[i+1]).Abs() > stampSlack)
			if alone && len(hs) > 1 && !c.clockSet(h) || moved[i].Abs() > clockSlack {
				c.blame(RuleValue, "%v was heard with the time %v; the cloud says %v", h.Name(), h.Timestamp, c.held[h.Name()].Timestamp)
			}
		}
	}
}

// holes demands that each seq up to the last of an epoch is held or told, and
// not both.
func (c *court) holes() {
	for _, a := range c.accounts {
		for seq := uint64(1); seq <= a.last; seq++ {
			n := Name{a.gateway, a.epoch, seq}
			switch told := a.told(seq); {
			case c.held[n] == nil && told == nil:
				c.blame(RuleHole, "%v is neither held nor told as missing", n)
			case c.held[n] != nil && told != nil && !told.open:
				c.blame(RuleTwice, "%v is held, and told as missing (%s)", n, told.why)
			}
		}
	}
}

// bounds compares what open ends say with what is missing there.
func (c *court) bounds() {
	for _, a := range c.accounts {
		for _, s := range a.spans {
			if !s.open {
				continue
			}
			truly := uint64(0)
			if a.heardLast >= s.first {
				truly = a.heardLast - s.first + 1
			}
			b := Bound{a.epoch, s.last + 1 - s.first, truly, s.why}
			c.verdict.Tally.Bounds = append(c.verdict.Tally.Bounds, b)
			switch most := c.most(a); {
			case c.replaced(a):
			case truly > b.AtMost:
				c.blame(RuleBound, "%s/%.8s: at most %d behind %d are said to be missing (%s); %d were heard and are missing (%s)",
					a.gateway, a.epoch, b.AtMost, s.first-1, s.why, truly, c.story(a))
			case b.AtMost == Unbounded && c.rebooted(a): // it does not know how long it was off
			case c.rebooted(a) && b.AtMost > most+truly && b.AtMost <= c.mostUntil(a, c.Run.Ended)+truly:
				c.verdict.Tally.Wide++ // a boot that never knew the time came between, or what was known of the end was lost again
			case most > 0 && b.AtMost > most+truly:
				c.blame(RuleWide, "%s/%.8s: at most %d behind %d are said to be missing (%s); %d were heard and are missing, and %d can be (%s)",
					a.gateway, a.epoch, b.AtMost, s.first-1, s.why, truly, most, c.story(a))
			}
		}
	}
}

// most is how many readings can have been taken in an epoch, from when its
// life began until the next one of that board that could write down that it
// had begun. After a power cut that next one must have known the time too:
// else the gateway cannot tell when it began. 0: nobody can say.
func (c *court) most(a *account) uint64 {
	for name := range a.lives {
		l := c.lives[name]
		if l == nil || !l.Sound {
			return 0
		}
		until := c.Run.Ended // no other life: its card was read at the end
		for next := c.lives[lifeName{name.board, name.n + 1}]; next != nil; next = c.lives[lifeName{next.Board, next.N + 1}] {
			until = next.Began
			if next.Sound && next.Spoke && (l.How != CutOff || c.timed[lifeName{next.Board, next.N}]) {
				break
			}
			until = c.Run.Ended
		}
		return c.mostUntil(a, until)
	}
	return 0
}

// mostUntil is how many readings can have been taken in an epoch that goes on until then.
func (c *court) mostUntil(a *account, until time.Time) uint64 {
	for name := range a.lives {
		if l := c.lives[name]; l != nil {
			b := c.boards[l.Gateway]
			span := until.Sub(l.Began) + restart + l.Stall
			return uint64(boundFactor * (b.Rate*span.Seconds() + float64(b.Channels)))
		}
	}
	return 0
}

// rebooted tells whether the board of an epoch lost its power at the end, or
// was off until its card was read.
func (c *court) rebooted(a *account) bool {
	for name := range a.lives {
		l, next := c.lives[name], c.lives[lifeName{name.board, name.n + 1}]
		if l != nil && (l.How == CutOff || next == nil) {
			return true
		}
	}
	return false
}

// replaced tells whether a card that had the epoch was taken away.
func (c *court) replaced(a *account) bool {
	for name := range a.lives {
		l := c.lives[name]
		for _, act := range c.Acts {
			if act.What == ActOld && act.To == name.board && l != nil && l.Ended.After(act.Since) && l.Began.Before(act.At) {
				return true
			}
		}
	}
	return false
}

// story tells how the lives of an epoch ended.
func (c *court) story(a *account) string {
	text := ""
	for name := range a.lives {
		if l := c.lives[name]; l != nil {
			text += fmt.Sprintf("%s life %d, %s, sound card %v; ", name.board, name.n, l.How, l.Sound)
		}
	}
	return text
}

// ends judges how each life ended: an orderly stop loses nothing, anything
// else no more than the window.
func (c *court) ends() {
	for _, l := range c.lives {
		lost := c.missing[lifeName{l.Board, l.N}]
		if l.How == Stopped {
			c.stop(l, lost)
		}
		if l.How != Killed && l.How != CutOff || !(l.Sound || l.Full && l.Slot) {
			continue
		}
		window := time.Duration(max(l.Window, c.boards[l.Gateway].FlushS)*float64(time.Second)) + l.Stall + windowSlack
		late := 0
		for _, h := range lost {
			age := l.Ended.Sub(h.Timestamp)
			if l.Sound {
				c.verdict.Tally.OldestLost = max(c.verdict.Tally.OldestLost, age)
			}
			if age > window {
				late++
			}
		}
		if late > 0 {
			c.blame(RuleWindow, "%s, life %d (%s, sound card %v): %d of %d lost readings are older than the window of %v (%s)",
				l.Board, l.N, l.How, l.Sound, late, len(lost), window.Round(time.Millisecond), some(lost))
		}
	}
}

func (c *court) stop(l *Life, lost []*Heard) {
	c.verdict.Tally.Stops++
	if l.Took > stopWithin+l.Stall && l.Sound {
		c.blame(RuleStop, "%s, life %d: an orderly stop took %v", l.Board, l.N, l.Took)
	}
	if !(l.Sound || l.Full && l.Slot || l.Online) {
		return
	}
	c.verdict.Tally.SoundStops++
	if l.Code != 0 && l.Sound && l.Spoke { // before it has spoken it may not know of signals yet
		c.blame(RuleStop, "%s, life %d: an orderly stop ended with exit code %d", l.Board, l.N, l.Code)
	}
	if len(lost) > 0 {
		c.blame(RuleStop, "%s, life %d: %d readings were lost (%s); sound card %v, full %v with a journal %v, online %v",
			l.Board, l.N, len(lost), some(lost), l.Sound, l.Full, l.Slot, l.Online)
	}
}

// starts demands that what was started runs until it is told to end.
func (c *court) starts() {
	for _, l := range c.lives {
		switch {
		case l.How == Itself:
			c.blame(RuleStart, "%s, life %d: ended by itself after %v with exit code %d: %s",
				l.Board, l.N, l.Ended.Sub(l.Began).Round(time.Millisecond), l.Code, l.Log)
		case !l.Spoke && l.Waited > speakWithin+l.Stall:
			c.blame(RuleStart, "%s, life %d: no reading within %v (sound card %v): %s",
				l.Board, l.N, l.Waited.Round(time.Second), l.Sound, l.Log)
		}
	}
}

// claims demands that what completeness said while everything ran is still so:
// in a range that was called complete nothing appeared later, and nothing is
// missing.
func (c *court) claims() {
	later := c.byTime()
	cloned := map[string]time.Time{}
	for _, a := range c.Acts {
		if a.What == ActClone && cloned[a.Detail].IsZero() {
			cloned[a.Detail] = a.At
		}
	}
	for i := range c.Claims {
		k := &c.Claims[i]
		c.verdict.Tally.Claims++
		if k = k.upto(); k == nil || k.Final {
			continue
		}
		c.verdict.Tally.Complete++
		// Of a board that runs beside its clone the cloud hears one at a time: it cannot know of the other.
		if since := cloned[k.Gateway]; since.IsZero() || k.At.Before(since) {
			c.claim(k, later[k.Gateway])
		}
	}
}

// upto gives the claim as one that a range is complete; nil if it is none.
// "Complete up to T; …" is one for the range up to T.
func (k *Claim) upto() *Claim {
	if k.Complete && k.To != nil {
		return k
	}
	rest, ok := strings.CutPrefix(k.Sentence, "Complete up to ")
	word, _, _ := strings.Cut(rest, ";")
	at, err := time.Parse(time.RFC3339, word)
	if !ok || err != nil {
		return nil
	}
	part := *k
	part.To = &at
	return &part
}

// byTime gives for each gateway all that was held or heard, in the order of
// time.
func (c *court) byTime() map[string][]*Heard {
	all := map[string][]*Heard{}
	for n, l := range c.held {
		all[n.Gateway] = append(all[n.Gateway], &Heard{Gateway: n.Gateway, Epoch: n.Epoch, Seq: n.Seq, Timestamp: l.Timestamp})
	}
	for n, h := range c.heard {
		if c.held[n] == nil {
			all[n.Gateway] = append(all[n.Gateway], h)
		}
	}
	for g := range maps.Keys(all) {
		slices.SortFunc(all[g], func(a, b *Heard) int { return a.Timestamp.Compare(b.Timestamp) })
	}
	return all
}

func (c *court) claim(k *Claim, all []*Heard) {
	upto := map[string]uint64{}
	for _, e := range k.Epochs {
		upto[e.Epoch] = e.Upto
	}
	from := 0
	if k.From != nil {
		edge := k.From.Add(claimSlack)
		from, _ = slices.BinarySearchFunc(all, edge, func(h *Heard, t time.Time) int { return h.Timestamp.Compare(t) })
	}
	var appeared, missing []*Heard
	for _, h := range all[from:] {
		if !h.Timestamp.Before(k.To.Add(-claimSlack)) {
			break
		}
		held := c.held[h.Name()] != nil
		switch {
		case held && h.Seq > upto[h.Epoch]:
			appeared = append(appeared, h)
		case !held && !c.takenAway(h) && !c.restoredAfter(k) && !c.memory(lifeName{h.Board, h.Life}):
			missing = append(missing, h)
		}
	}
	if len(appeared) > 0 {
		c.blame(RuleClaim, "%s at %v: %q, but %d readings came later (%s)",
			k.Gateway, k.At.Format(time.TimeOnly), k.Sentence, len(appeared), some(appeared))
	}
	if len(missing) > 0 {
		c.blame(RuleClaim, "%s at %v: %q, but %d readings are missing (%s)",
			k.Gateway, k.At.Format(time.TimeOnly), k.Sentence, len(missing), some(missing))
	}
}

// restoredAfter tells whether the cloud became, after a claim, one that is
// older than the claim.
func (c *court) restoredAfter(k *Claim) bool {
	return slices.ContainsFunc(c.Acts, func(a Act) bool {
		return a.What == ActRestore && a.At.After(k.At) && a.Since.Before(k.At)
	})
}
