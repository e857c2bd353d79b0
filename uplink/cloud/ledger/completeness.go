package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// maxGapsListed is how many gaps one answer lists; the rest is counted.
const maxGapsListed = 10000

// A Completeness answers "is it complete from A to B?".
type Completeness struct {
	GatewayID       string          `json:"gateway_id"`
	From            *time.Time      `json:"from"` // null: the beginning
	To              *time.Time      `json:"to"`   // null: nothing has come yet
	Complete        bool            `json:"complete"`
	Sentence        string          `json:"sentence"`
	Epochs          []epochAnswer   `json:"epochs"`           // that have, or may have, readings of this time
	Waiting         *Waiting        `json:"waiting"`          // what the gateway said last that it still holds; null: it never said
	Discontinuities []Discontinuity `json:"joins,omitempty"`  // where the cloud's own log had lost records
	Omitted         int             `json:"omitted,omitzero"` // gaps that this answer has no room for

	gaps, thinned, lost, ends int
	late                      time.Time // nothing is missing up to here, though something later is
	between                   bool      // an epoch came before this time, and one after it
}

type epochAnswer struct {
	Epoch       gateway.EpochID `json:"epoch"`
	First       *time.Time      `json:"first"` // of its readings; if time_known is false it lies between these
	Last        *time.Time      `json:"last"`
	Time        string          `json:"time"`
	TimeKnown   bool            `json:"time_known"`
	Upto        uint64          `json:"upto"`
	Held        uint64          `json:"held"` // of these as single readings
	End         string          `json:"end"`  // growing, closed, open, unlisted
	Undelivered bool            `json:"undelivered"`
	Gaps        []gapAnswer     `json:"gaps"`
	Thinned     []gapAnswer     `json:"thinned"`
	Sentence    string          `json:"sentence"`
}

// A gapAnswer is readings that are not there. Either First and N, or After and,
// if anything bounds how many there are, AtMost.
type gapAnswer struct {
	First    uint64      `json:"first,omitempty"`
	N        uint64      `json:"n,omitempty"`
	After    *uint64     `json:"after,omitempty"`
	AtMost   *uint64     `json:"at_most,omitempty"`
	Why      gateway.Why `json:"why"`
	By       string      `json:"by"` // whose loss it is: gateway, cloud or unknown
	T0       *time.Time  `json:"t0"`
	T1       *time.Time  `json:"t1"`
	Time     string      `json:"time"`
	Sentence string      `json:"sentence"`
}

// A Waiting is what a gateway said that it holds.
type Waiting struct {
	N      uint64     `json:"n"`
	Bytes  uint64     `json:"bytes"`
	Oldest *time.Time `json:"oldest"`
	AsOf   *time.Time `json:"as_of"`
}

// Complete answers whether everything of a range has come, or, if only is given,
// of that epoch. waiting is what the gateway said last that it still holds (nil:
// it never said), sent up to when all that it measured has come.
func (b *Gateway) Complete(ctx context.Context, span TimeRange, only *gateway.EpochID, waiting *Waiting,
	sent time.Time) (*Completeness, error) {
	b.sent = sent
	c, err := b.touched(ctx, span, only)
	if err != nil {
		return nil, err
	}
	c.await(waiting, span)
	c.conclude()
	return c, nil
}

// touched goes through the epochs that a range may touch.
func (b *Gateway) touched(ctx context.Context, span TimeRange, only *gateway.EpochID) (*Completeness, error) {
	list, err := b.Times(ctx)
	if err != nil {
		return nil, err
	}
	if only != nil && !slices.ContainsFunc(list, func(e EpochTime) bool { return e.Epoch == *only }) {
		return nil, ErrUnknownEpoch
	}
	var newest time.Time
	before, after := false, false
	for _, e := range list {
		if e.known {
			newest = Latest(newest, e.Last)
			before = before || !span.From.IsZero() && e.Last.Before(span.From)
			after = after || !span.To.IsZero() && e.First.After(span.To)
		}
	}
	c := &Completeness{GatewayID: b.ID, From: UTC(span.From), To: UTC(span.To), Epochs: []epochAnswer{}, between: before && after}
	if span.To.IsZero() {
		span.To = newest // what came last is as far as anybody here can say
		c.To = UTC(newest)
	}
	if only != nil {
		span = TimeRange{}
	}
	for i := range list {
		e := &list[i]
		if only != nil && *only != e.Epoch || !e.touches(span) {
			continue
		}
		a, err := b.answerOf(ctx, e, span, c)
		if err != nil {
			return nil, err
		}
		c.Epochs = append(c.Epochs, a)
	}
	for _, j := range b.checkpoint.Discontinuities {
		if len(j.Epochs) > 0 {
			c.Discontinuities = append(c.Discontinuities, j)
		}
	}
	return c, nil
}

// touches tells whether something of the epoch may be of this time: what came,
// or what has not come yet and was taken before the next epoch began.
func (e *EpochTime) touches(span TimeRange) bool {
	until := e.Last
	if e.undelivered(span) || e.Open != nil && !e.known {
		until = e.next
	} else if e.growing() && !e.done() {
		until = Latest(until, e.sent)
	}
	if e.Open != nil && e.known {
		_, t1, _ := e.Between(e.Open.Anchor, e.Open.T0, e.Open.T1)
		if until = Latest(until, t1); t1.IsZero() {
			until = t1 // no bound
		}
	}
	return span.Meets(e.First, until)
}

// undelivered tells whether readings of this time may still be to come.
func (e *EpochTime) undelivered(span TimeRange) bool {
	if e.done() {
		return false
	}
	after := e.Last
	switch {
	case !e.known:
		after = e.First
	case e.growing():
		after = Latest(after, e.sent)
	}
	return (span.To.IsZero() || after.Before(span.To)) && (e.next.IsZero() || span.From.IsZero() || e.next.After(span.From))
}

// growing tells whether an epoch is the newest, whose readings are told apart
// by time.
func (e *EpochTime) growing() bool { return e.next.IsZero() && e.known && e.End != record.EndUnlisted }

// answerOf gives what there is to say of one epoch.
func (b *Gateway) answerOf(ctx context.Context, e *EpochTime, span TimeRange, c *Completeness) (epochAnswer, error) {
	a := epochAnswer{
		Epoch: e.Epoch, First: UTC(e.First), Last: UTC(e.Last), Time: e.quality.String(), TimeKnown: e.known,
		Upto: e.Upto, Held: e.held(), End: EndNames[e.End], Gaps: []gapAnswer{}, Thinned: []gapAnswer{},
	}
	spans, err := b.spans(ctx, e.account)
	if err != nil {
		return a, err
	}
	for _, s := range spans {
		t0, t1, q := e.Between(s.Anchor, s.T0, s.T1)
		if !span.Meets(t0, t1) {
			continue
		}
		g := gapAnswer{First: s.First, N: s.N, Why: s.Why, T0: UTC(t0), T1: UTC(t1), Time: q.String()}
		g.Sentence = g.say()
		c.add(&a, g)
	}
	if o := e.Open; o != nil && o.AtMost > 0 {
		t0, t1, q := e.Between(o.Anchor, o.T0, o.T1)
		if span.Meets(t0, t1) {
			upto := e.Upto
			g := gapAnswer{After: &upto, AtMost: o.bound(), Why: o.Why, T0: UTC(t0), T1: UTC(t1), Time: q.String()}
			g.Sentence = g.say()
			c.add(&a, g)
		}
	}
	for _, g := range e.lost() {
		c.lost++
		a.Gaps = append(a.Gaps, g)
	}
	if a.Undelivered = e.undelivered(span); a.Undelivered {
		c.ends++
		if e.growing() {
			c.late = Latest(e.Last, e.sent)
		}
	}
	a.Sentence = e.say(a.Undelivered)
	return a, nil
}

// add lists a gap, as far as there is room.
func (c *Completeness) add(a *epochAnswer, g gapAnswer) {
	list := &a.Gaps
	switch g.By = blame(g.Why); {
	case g.Why == WhyThinned:
		c.thinned++
		list = &a.Thinned
	case g.By == "cloud":
		c.lost++
	default:
		c.gaps++
	}
	if c.gaps+c.thinned+c.lost > maxGapsListed {
		c.Omitted++
		return
	}
	*list = append(*list, g)
}

// lost gives what the cloud's log lost of the epoch and nothing has replaced.
func (e *EpochTime) lost() []gapAnswer {
	g := gapAnswer{Why: whyLogLost, By: blame(whyLogLost), T0: UTC(e.First), T1: UTC(e.Last), Time: e.quality.String()}
	switch {
	case e.LogLost != nil && e.Upto > 0:
		g.First, g.N = 1, e.Upto
		g.Sentence = fmt.Sprintf("The cloud's log was lost before %s, and these readings with it; a database that had read them still has them.",
			e.LogLost.UTC().Format(TimeLayout))
	case e.Claimed > e.Upto:
		g.First, g.N = e.Upto+1, e.Claimed-e.Upto
		g.Sentence = "The cloud had these readings, and lost them; the gateway sends again what it still holds."
	default:
		return nil
	}
	return []gapAnswer{g}
}

// await takes in what the gateway still holds.
func (c *Completeness) await(w *Waiting, span TimeRange) {
	c.Waiting = w
	if w != nil && w.N > 0 && w.Oldest != nil && (span.To.IsZero() || !w.Oldest.After(span.To)) && c.ends == 0 {
		c.ends++
	}
}

// conclude says it in one sentence.
func (c *Completeness) conclude() {
	c.Complete = c.gaps+c.thinned+c.lost+c.ends == 0 && (len(c.Epochs) > 0 || c.between)
	switch {
	case len(c.Epochs) == 0 && c.Complete:
		c.Sentence = "Complete: the gateway took no readings in this time; it was off, or not running."
		return
	case len(c.Epochs) == 0:
		c.Sentence = "Nothing is known of this time: no reading has come, and none is announced."
		return
	case c.Complete:
		c.Sentence = "Complete: the cloud has every reading that was taken in this time."
		return
	}
	var what []string
	for _, p := range []struct {
		n         int
		one, more string
	}{
		{c.gaps, "1 gap", "%d gaps"},
		{c.thinned, "1 range of which only summaries are left", "%d ranges of which only summaries are left"},
		{c.lost, "1 range that the cloud itself has lost", "%d ranges that the cloud itself has lost"},
		{c.ends, "1 epoch whose rest has not arrived", "%d epochs whose rest has not arrived"},
	} {
		switch {
		case p.n == 1:
			what = append(what, p.one)
		case p.n > 1:
			what = append(what, fmt.Sprintf(p.more, p.n))
		}
	}
	if c.gaps+c.thinned+c.lost == 0 && c.ends == 1 && !c.late.IsZero() {
		c.Sentence = fmt.Sprintf("Complete up to %s; what was taken after that has not arrived yet.", c.late.Format(TimeLayout))
		return
	}
	c.Sentence = "Not complete: " + strings.Join(what, ", ") + "."
}

var EndNames = map[record.Ending]string{record.EndNone: "growing", record.EndClosed: "closed", record.EndOpen: "open",
	record.EndUnlisted: "unlisted", record.EndBare: "growing"}

// ErrUnknownEpoch is a question for an epoch of which the ledger has nothing.
var ErrUnknownEpoch = errors.New("the ledger knows no such epoch of this gateway")

// whyWords say what became of readings, in words for whoever asks for them.
var whyWords = map[gateway.Why]string{
	gateway.WhyUncleanStop:       "the gateway lost power or crashed before they were on its card",
	gateway.WhyForgottenAfterAck: "the cloud had acknowledged them, then lost them itself, and the gateway no longer had them",
	gateway.WhyCardFailed:        "the gateway's card took no writes, and its memory had no room for more",
	gateway.WhyDropped:           "the gateway's store was full, and gave them up before the cloud had them",
	gateway.WhyRejected:          "the cloud refused them as impossible; the gateway keeps a copy in quarantine",
	gateway.WhyUnknown:           "the gateway's own audit found them missing, for reasons that it does not know",
	WhyThinned:                   "the gateway's store was full, and kept summaries in their place",
	whyDamaged:                   "the cloud's log holds a record of them that cannot be read",
	whyUnwitnessed:               "the cloud had them before it began to keep this ledger, and cannot tell gaps among them",
}

// blame says whose loss a gap is.
func blame(why gateway.Why) string {
	switch why {
	case gateway.WhyForgottenAfterAck, whyDamaged, whyLogLost:
		return "cloud"
	case whyUnwitnessed:
		return "unknown"
	}
	return "gateway"
}

// say tells of a gap in one sentence.
func (g *gapAnswer) say() string {
	words := whyWords[g.Why]
	if words == "" {
		words = fmt.Sprintf("the gateway gives the reason %q", g.Why)
	}
	when := ""
	if g.T0 != nil && g.T1 != nil {
		when = fmt.Sprintf(", taken between %s and %s", g.T0.Format(TimeLayout), g.T1.Format(TimeLayout))
	}
	if g.After != nil && g.AtMost == nil {
		return fmt.Sprintf("An unknown number of readings%s, never came: %s.", when, words)
	}
	if g.AtMost != nil {
		return fmt.Sprintf("At most %d readings%s, never came: %s.", *g.AtMost, when, words)
	}
	count := fmt.Sprintf("%d readings", g.N)
	if g.N == 1 {
		count = "1 reading"
	}
	if g.Why == WhyThinned {
		return fmt.Sprintf("Of %s%s, only summaries are left: %s.", count, when, words)
	}
	return fmt.Sprintf("%s%s: %s.", count, when, words)
}

// say tells how an epoch stands.
func (e *EpochTime) say(undelivered bool) string {
	var how string
	switch {
	case e.End == record.EndUnlisted:
		how = "The gateway no longer knows this epoch, and nobody knows how it ended. " +
			"Its card may have been restored from an older copy, or its store lay in memory when the power went."
	case e.End == record.EndClosed:
		how = "It ended in order."
	case e.End == record.EndOpen:
		how = "It ended without anybody seeing how: a power cut or a crash."
	case !undelivered:
		how = "It goes on; all of this time has arrived."
	case e.Open != nil:
		how = "It went on after it had been reported as ended: the card may have been copied."
	default:
		how = "It goes on, or its rest is still on the gateway."
	}
	if !e.known && e.Upto > 0 {
		how += " The gateway's clock was not set then: the times are bounds, by the epochs beside it and by when its readings arrived."
	}
	return how
}
