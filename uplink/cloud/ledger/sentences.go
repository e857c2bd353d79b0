package ledger

import (
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

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
