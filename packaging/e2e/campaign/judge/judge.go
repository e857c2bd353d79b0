package judge

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The rules. Each is a promise of the programs.
const (
	RuleTwice   = "a name is there twice"
	RuleNowhere = "a reading is nowhere"
	RuleValue   = "a reading changed"
	RuleHole    = "a hole is not told"
	RuleBound   = "a bound is too small"
	RuleWide    = "a bound is larger than what can have been taken"
	RuleWindow  = "a loss is older than the window"
	RuleStop    = "an orderly stop lost readings"
	RuleClaim   = "completeness claimed too much"
	RuleStart   = "a gateway does not run"
	RuleOnCard  = "the card calls missing what the cloud has"
	RuleDrain   = "not everything was delivered at the end"
)

// Rules are all of them, in the order of the page.
var Rules = []string{
	RuleTwice, RuleNowhere, RuleValue, RuleHole, RuleBound, RuleWide, RuleWindow, RuleStop, RuleClaim, RuleStart, RuleOnCard, RuleDrain,
}

// A Fault is a promise that was not kept.
type Fault struct{ Rule, Text string }

// A Verdict is what the judge found.
type Verdict struct {
	Faults []Fault
	Tally  Tally
}

// Of gives the faults of a rule.
func (v Verdict) Of(rule string) []Fault {
	return slices.DeleteFunc(slices.Clone(v.Faults), func(f Fault) bool { return f.Rule != rule })
}

// A Tally is what was seen, in figures.
type Tally struct {
	Heard, Held       int // names on site; names in the cloud's log
	Missing           int // heard and not held
	Told              int // … of them in a gap, an open end or a thinned range
	Gone              int // … of them on a card that was taken away for an older copy
	Memory            int // … of them in memory alone: the card was of no use to the whole life
	ByHow             map[string]int
	LostByHow         map[string]int
	OldestLost        time.Duration // before the end of a sound life that was killed or cut
	Bounds            []Bound
	Wide              int // bounds after a power cut that are larger than what can have come until the next boot that knew the time
	EventsAgain       int // events stored again, after those of 64 other epochs
	Claims, Complete  int
	GapsByWhy         map[string]uint64 // readings in gaps, by reason
	Stops, SoundStops int               // orderly stops; of them judged
}

// Unbounded is what an open end says that knows no bound.
const Unbounded = 1<<63 - 1

// A Bound is what an open end says against what is missing there.
type Bound struct {
	Epoch         string
	AtMost, Truly uint64
	Why           string
}

// A span is names that the cloud says will not come.
type span struct {
	first, last uint64
	why         string
	open        bool
}

// An account is one epoch.
type account struct {
	gateway, epoch string
	last           uint64 // highest seq held or told
	spans          []span
	unlisted       bool // the cloud says at the end that nobody knows what is missing behind upto
	upto           uint64
	heardLast      uint64
	lives          map[lifeName]bool
}

type lifeName struct {
	board string
	n     int
}

// A court is a judgement under way.
type court struct {
	Evidence
	verdict  Verdict
	held     map[Name]*Line
	heard    map[Name]*Heard
	accounts map[[2]string]*account
	set      map[[2]string][]time.Time // when the clock of an epoch's board was set
	lives    map[lifeName]*Life
	timed    map[lifeName]bool // it showed a reading whose time it knew
	missing  map[lifeName][]*Heard
	boards   map[string]Board
}

// Judge comes to a verdict.
func Judge(e Evidence) Verdict {
	c := &court{
		Evidence: e, held: map[Name]*Line{}, heard: map[Name]*Heard{}, accounts: map[[2]string]*account{}, set: map[[2]string][]time.Time{},
		lives: map[lifeName]*Life{}, timed: map[lifeName]bool{}, missing: map[lifeName][]*Heard{}, boards: map[string]Board{},
	}
	c.verdict.Tally = Tally{ByHow: map[string]int{}, LostByHow: map[string]int{}, GapsByWhy: map[string]uint64{}}
	for i := range e.Lives {
		l := &e.Lives[i]
		c.lives[lifeName{l.Board, l.N}] = l
		c.verdict.Tally.ByHow[l.How]++
	}
	for _, b := range e.Run.Boards {
		c.boards[b.Name] = b
	}
	c.takeHeard()
	c.takeCloud()
	c.takeStores()
	c.takeFinal()
	c.nowhere()
	c.values()
	c.holes()
	c.bounds()
	c.ends()
	c.claims()
	c.starts()
	if !e.Run.Drained {
		c.blame(RuleDrain, "%s", e.Run.Undone)
	}
	return c.verdict
}

func (c *court) blame(rule, format string, args ...any) {
	c.verdict.Faults = append(c.verdict.Faults, Fault{rule, fmt.Sprintf(format, args...)})
}

func (c *court) account(gateway, epoch string) *account {
	a := c.accounts[[2]string{gateway, epoch}]
	if a == nil {
		a = &account{gateway: gateway, epoch: epoch, lives: map[lifeName]bool{}}
		c.accounts[[2]string{gateway, epoch}] = a
	}
	return a
}

// takeHeard takes in what the boards showed: one name is one reading, whoever
// shows it.
func (c *court) takeHeard() {
	for i := range c.Heard {
		h := &c.Heard[i]
		a := c.account(h.Gateway, h.Epoch)
		a.heardLast = max(a.heardLast, h.Seq)
		a.lives[lifeName{h.Board, h.Life}] = true
		c.timed[lifeName{h.Board, h.Life}] = c.timed[lifeName{h.Board, h.Life}] || h.Time != "none"
		before := c.heard[h.Name()]
		if before == nil {
			c.heard[h.Name()] = h
			continue
		}
		if before.Device != h.Device || before.Quantity != h.Quantity || !same(before.Value, h.Value) {
			c.blame(RuleTwice, "%v was shown by %s as %s and by %s as %s", h.Name(), before.Board, before.said(), h.Board, h.said())
		}
	}
	c.verdict.Tally.Heard = len(c.heard)
}

// takeCloud takes in the cloud's log.
func (c *court) takeCloud() {
	events := map[string]*eventLog{}
	thinned := map[[4]any]bool{}
	for i := range c.Cloud {
		l := &c.Cloud[i]
		n := Name{l.Gateway, l.Epoch, l.Seq}
		a := c.account(l.Gateway, l.Epoch)
		switch l.Type {
		case "":
			if c.held[n] != nil {
				c.blame(RuleTwice, "%v is twice in the cloud's log", n)
			}
			c.held[n] = l
			a.last = max(a.last, l.Seq)
		case "event":
			if events[l.Gateway] == nil {
				events[l.Gateway] = &eventLog{at: map[Name]int{}}
			}
			switch again, behind := events[l.Gateway].take(n); {
			case again && behind < rememberedEpochs:
				c.blame(RuleTwice, "event %v is twice in the cloud's log", n)
			case again:
				c.verdict.Tally.EventsAgain++
			}
			if key := [2]string{l.Gateway, l.Epoch}; l.Kind == "anchor" {
				c.set[key] = append(c.set[key], l.Timestamp)
			}
		case "gap":
			a.tell(span{l.First, l.First + l.N - 1, l.Why, false})
			c.verdict.Tally.GapsByWhy[l.Why] += l.N
		case "thinned": // a line for each channel and interval
			key := [4]any{l.Gateway, l.Epoch, l.First, l.N}
			if !thinned[key] {
				thinned[key] = true
				a.tell(span{l.From, l.First + l.N - 1, "thinned", false})
				c.verdict.Tally.GapsByWhy["thinned"] += l.First + l.N - l.From
			}
		case "end":
			a.end(l)
		}
	}
	c.verdict.Tally.Held = len(c.held)
}

func (a *account) tell(s span) {
	a.spans = append(a.spans, s)
	a.last = max(a.last, s.last)
}

// end takes in how an epoch ended. It may be told again, in other words: the
// newest count.
func (a *account) end(l *Line) {
	a.spans = slices.DeleteFunc(a.spans, func(s span) bool { return s.open })
	if l.Closed == nil {
		a.spans = append(a.spans, span{l.After + 1, l.After + l.AtMost, l.Why, true})
	}
}

// told tells what covers a name; nil: nothing.
func (a *account) told(seq uint64) *span {
	for i := range a.spans {
		if s := &a.spans[i]; s.first <= seq && seq <= s.last {
			return s
		}
	}
	return nil
}

// takeFinal takes in which epochs the cloud says at the end are unlisted: it
// knows that something may be missing, and not what.
func (c *court) takeFinal() {
	for _, k := range c.Claims {
		for _, e := range k.Epochs {
			if k.Final && (e.Undelivered || e.End == "unlisted") {
				a := c.account(k.Gateway, e.Epoch)
				a.unlisted, a.upto = true, e.Upto
			}
		}
	}
}

// takeStores takes in the exports of the cards: no name twice in one, and
// nothing missing there that the cloud has.
func (c *court) takeStores() {
	seen := map[string]map[Name]bool{}
	for i := range c.Stores {
		l := &c.Stores[i]
		n := Name{l.Gateway, l.Epoch, l.Seq}
		if seen[l.Board] == nil {
			seen[l.Board] = map[Name]bool{}
		}
		switch {
		case l.Type == "verify":
			if acknowledged.MatchString(l.Why) {
				c.blame(RuleOnCard, "%s: %s", l.Board, acknowledged.FindString(l.Why))
			}
		case l.Type == "gap" && l.Why != forgotten: // else the card has them no longer, and the cloud had them
			c.onCard(l)
		case l.Type == "" && l.Device != "":
			if seen[l.Board][n] {
				c.blame(RuleTwice, "%v is twice on the card of %s", n, l.Board)
			}
			seen[l.Board][n] = true
			c.sameAs(l, n)
		}
	}
}

func (c *court) sameAs(l *Line, n Name) {
	if h := c.heard[n]; h != nil && (h.Device != l.Device || h.Quantity != l.Quantity || !same(h.Value, l.Value)) {
		c.blame(RuleValue, "%v was heard as %s; the card of %s holds %s %s %s", n, h.said(), l.Board, l.Device, l.Quantity, text(l.Value))
	}
}

// forgotten is the reason of what a card has no longer and the cloud had.
const forgotten = "forgotten_after_ack"

var acknowledged = regexp.MustCompile(`.*known to be missing: ` + forgotten)

// onCard looks at what an export says is missing.
func (c *court) onCard(l *Line) {
	held := uint64(0)
	for seq := l.First; seq < l.First+min(l.N, 1<<20); seq++ {
		if c.held[Name{l.Gateway, l.Epoch, seq}] != nil {
			held++
		}
	}
	if held > 0 {
		c.blame(RuleOnCard, "%s/%.8s: the card of %s says that %d readings from %d on are missing (%s); the cloud has %d of them",
			l.Gateway, l.Epoch, l.Board, l.N, l.First, l.Why, held)
	}
}

func (h *Heard) said() string { return fmt.Sprintf("%s %s %s", h.Device, h.Quantity, text(h.Value)) }

func text(v *float64) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprint(*v)
}

func same(a, b *float64) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

// nowhere demands of each reading that was heard that it is held, or told.
func (c *court) nowhere() {
	lost := map[lifeName][]*Heard{}
	for n, h := range c.heard {
		if c.held[n] != nil {
			continue
		}
		t := &c.verdict.Tally
		t.Missing++
		life := lifeName{h.Board, h.Life}
		told := c.account(h.Gateway, h.Epoch).told(h.Seq)
		switch {
		case told != nil:
			t.Told++
		case c.unlisted(h):
			t.Told++
			continue
		case c.memory(life):
			t.Memory++
			continue
		case c.takenAway(h):
			t.Gone++
			continue
		default:
			lost[life] = append(lost[life], h)
		}
		if told == nil || told.why != "thinned" && told.why != "dropped" && told.why != forgotten {
			c.missing[life] = append(c.missing[life], h)
			t.LostByHow[c.how(life)]++
		}
	}
	for life, hs := range lost {
		c.blame(RuleNowhere, "%s, life %d: %d readings (%s) are neither in the cloud's log nor told as missing",
			life.board, life.n, len(hs), some(hs))
	}
}

func (c *court) unlisted(h *Heard) bool {
	a := c.account(h.Gateway, h.Epoch)
	return a.unlisted && h.Seq > a.upto
}

// memory tells whether nothing of a life can have reached the card: then
// nobody can know of it what the cloud was not told meanwhile.
func (c *court) memory(n lifeName) bool { return c.lives[n] != nil && c.lives[n].Deaf }

func (c *court) how(n lifeName) string {
	if l := c.lives[n]; l != nil {
		return l.How
	}
	return "?"
}

// some names the first and the last of readings.
func some(hs []*Heard) string {
	slices.SortFunc(hs, func(a, b *Heard) int {
		if d := strings.Compare(a.Epoch, b.Epoch); d != 0 {
			return d
		}
		return int(a.Seq) - int(b.Seq)
	})
	return fmt.Sprintf("%v to %v", hs[0].Name(), hs[len(hs)-1].Name())
}

// takenAway tells whether the only card that can have held a reading was
// replaced by an older copy.
func (c *court) takenAway(h *Heard) bool {
	for _, a := range c.Acts {
		if a.What == ActOld && a.To == h.Board && h.At.After(a.Since) && h.At.Before(a.At) {
			return true
		}
	}
	return false
}
