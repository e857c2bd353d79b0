package judge

import (
	"slices"
	"time"
)

// An Alteration makes evidence say that a promise was broken, so that the
// judge can be seen to find it.
type Alteration struct {
	Name  string
	Rule  string               // which must be found broken then
	Alter func(*Evidence) bool // false: this evidence has nothing to alter so
}

// Alterations are those that a judge must see.
var Alterations = []Alteration{
	{"a reading dropped from the cloud's log", RuleNowhere, dropReading},
	{"a reading doubled in the cloud's log", RuleTwice, doubleReading},
	{"a value changed in the cloud's log", RuleValue, changeValue},
	{"a time changed in the cloud's log", RuleValue, changeTime},
	{"a reading of another device", RuleValue, changeDevice},
	{"a gap removed from the cloud's log", RuleHole, removeGap},
	{"an open end removed from the cloud's log", RuleNowhere, removeEnd},
	{"an open end that says too few", RuleBound, shrinkEnd},
	{"a name given to two readings on site", RuleTwice, nameTwice},
	{"a reading doubled on a card", RuleTwice, doubleOnCard},
	{"a reading of a complete range that came later", RuleClaim, claimTooMuch},
	{"an orderly stop that lost a reading", RuleStop, loseAtStop},
	{"a loss older than the window", RuleWindow, loseEarly},
	{"a gateway that ended by itself", RuleStart, endByItself},
}

// Copy gives evidence that can be altered. Lines are never changed in place.
func (e Evidence) Copy() Evidence {
	e.Heard, e.Lives, e.Acts = slices.Clone(e.Heard), slices.Clone(e.Lives), slices.Clone(e.Acts)
	e.Claims, e.Cloud, e.Stores = slices.Clone(e.Claims), slices.Clone(e.Cloud), slices.Clone(e.Stores)
	return e
}

// held finds a reading that was heard and is in the log, and of which ok says
// that it will do.
func (e *Evidence) held(ok func(*Heard, *Line) bool) (heard, line int) {
	at := map[Name]int{}
	for i := range e.Cloud {
		if l := &e.Cloud[i]; l.Type == "" {
			at[Name{l.Gateway, l.Epoch, l.Seq}] = i
		}
	}
	for i := range e.Heard {
		h := &e.Heard[i]
		if j, ok2 := at[h.Name()]; ok2 && ok(h, &e.Cloud[j]) {
			return i, j
		}
	}
	return -1, -1
}

func (e *Evidence) life(h *Heard) *Life {
	for i := range e.Lives {
		if l := &e.Lives[i]; l.Board == h.Board && l.N == h.Life {
			return l
		}
	}
	return nil
}

// plain is a reading whose life had a sound card that stayed.
func (e *Evidence) plain(h *Heard, how string) bool {
	l := e.life(h)
	exchanged := slices.ContainsFunc(e.Acts, func(a Act) bool { return a.What == ActOld && a.To == h.Board })
	return l != nil && l.Sound && (how == "" || l.How == how) && h.Seq > 1 && !exchanged
}

func (e *Evidence) dropLine(ok func(*Heard, *Line) bool) bool {
	_, i := e.held(ok)
	if i >= 0 {
		e.Cloud = slices.Delete(e.Cloud, i, i+1)
	}
	return i >= 0
}

func dropReading(e *Evidence) bool {
	return e.dropLine(func(h *Heard, _ *Line) bool { return e.plain(h, "") })
}

func loseAtStop(e *Evidence) bool {
	return e.dropLine(func(h *Heard, _ *Line) bool { return e.plain(h, Stopped) })
}

func loseEarly(e *Evidence) bool {
	return e.dropLine(func(h *Heard, _ *Line) bool {
		l := e.life(h)
		return e.plain(h, "") && l.How != Stopped && l.How != Itself && l.Ended.Sub(h.Timestamp).Seconds() > max(l.Window, 5)+l.Stall.Seconds()+1
	})
}

func changeLine(e *Evidence, change func(*Line)) bool {
	_, i := e.held(func(*Heard, *Line) bool { return true })
	if i >= 0 {
		change(&e.Cloud[i])
	}
	return i >= 0
}

func doubleReading(e *Evidence) bool {
	return changeLine(e, func(l *Line) { e.Cloud = append(e.Cloud, *l) })
}

func changeValue(e *Evidence) bool {
	return changeLine(e, func(l *Line) { other := 0.123; l.Value = &other })
}

// changeTime changes the time of a reading that was not taken when the board's
// clock was set.
func changeTime(e *Evidence) bool {
	set := map[string][]time.Time{}
	for i := range e.Cloud {
		if l := &e.Cloud[i]; l.Type == "event" && l.Kind == "anchor" {
			set[l.Epoch] = append(set[l.Epoch], l.Timestamp)
		}
	}
	_, i := e.held(func(h *Heard, _ *Line) bool {
		return !slices.ContainsFunc(set[h.Epoch], func(t time.Time) bool { return h.Timestamp.Sub(t).Abs() < 2*claimSlack })
	})
	if i >= 0 {
		e.Cloud[i].Timestamp = e.Cloud[i].Timestamp.Add(20 * stampSlack)
	}
	return i >= 0
}

func changeDevice(e *Evidence) bool {
	return changeLine(e, func(l *Line) { l.Device = "another" })
}

func nameTwice(e *Evidence) bool {
	if len(e.Heard) == 0 {
		return false
	}
	h := e.Heard[0]
	h.Device = "another"
	e.Heard = append(e.Heard, h)
	return true
}

func doubleOnCard(e *Evidence) bool {
	i := slices.IndexFunc(e.Stores, func(l Line) bool { return l.Type == "" && l.Device != "" })
	if i >= 0 {
		e.Stores = append(e.Stores, e.Stores[i])
	}
	return i >= 0
}

// removeGap takes away a gap that has readings behind it.
func removeGap(e *Evidence) bool {
	i := slices.IndexFunc(e.Cloud, func(l Line) bool {
		return l.Type == "gap" && l.N > 0 && e.reaches(l.Gateway, l.Epoch, l.First+l.N)
	})
	if i >= 0 {
		e.Cloud = slices.Delete(e.Cloud, i, i+1)
	}
	return i >= 0
}

func (e *Evidence) reaches(gateway, epoch string, seq uint64) bool {
	return slices.ContainsFunc(e.Cloud, func(l Line) bool {
		return l.Type == "" && l.Gateway == gateway && l.Epoch == epoch && l.Seq >= seq
	})
}

// openEnd finds the epoch of an open end behind which readings of a sound card
// that stayed are missing.
func (e *Evidence) openEnd() (gateway, epoch string, ok bool) {
	for i := range e.Cloud {
		l := &e.Cloud[i]
		if l.Type != "end" || l.Closed != nil {
			continue
		}
		lost := func(h Heard) bool {
			behind := h.Gateway == l.Gateway && h.Epoch == l.Epoch && h.Seq > l.After
			return behind && e.plain(&h, "") && !e.reaches(l.Gateway, l.Epoch, h.Seq)
		}
		if slices.ContainsFunc(e.Heard, lost) {
			return l.Gateway, l.Epoch, true
		}
	}
	return "", "", false
}

func removeEnd(e *Evidence) bool {
	g, epoch, ok := e.openEnd()
	e.Cloud = slices.DeleteFunc(e.Cloud, func(l Line) bool { return ok && l.Type == "end" && l.Gateway == g && l.Epoch == epoch })
	return ok
}

func shrinkEnd(e *Evidence) bool {
	g, epoch, ok := e.openEnd()
	for i := range e.Cloud {
		if l := &e.Cloud[i]; ok && l.Type == "end" && l.Gateway == g && l.Epoch == epoch {
			l.AtMost = 0
		}
	}
	return ok
}

// claimTooMuch has the cloud say at the first reading that all up to a later
// one is complete.
func claimTooMuch(e *Evidence) bool {
	i, _ := e.held(func(h *Heard, _ *Line) bool { return true })
	if i < 0 {
		return false
	}
	h := e.Heard[i]
	to := h.Timestamp.Add(2 * claimSlack)
	e.Acts = slices.DeleteFunc(e.Acts, func(a Act) bool { return a.What == ActClone })
	e.Claims = append(e.Claims, Claim{At: to, Gateway: h.Gateway, To: &to, Complete: true, Sentence: "Complete: the cloud has every reading."})
	return true
}

func endByItself(e *Evidence) bool {
	if len(e.Lives) == 0 {
		return false
	}
	e.Lives[0].How = Itself
	return true
}

// Try alters evidence in each way and tells which ways the judge did not see,
// and how many could be tried.
func Try(e Evidence) (tried int, unseen []string) {
	before := Judge(e)
	for _, a := range Alterations {
		other := e.Copy()
		if !a.Alter(&other) {
			continue
		}
		tried++
		if seen(a.Rule, Judge(other), before) <= 0 {
			unseen = append(unseen, a.Name)
		}
	}
	return tried, unseen
}

// seen counts the faults of a rule that were not found before.
func seen(rule string, v, before Verdict) (n int) {
	known := before.Of(rule)
	for _, f := range v.Of(rule) {
		if !slices.Contains(known, f) {
			n++
		}
	}
	return n
}
