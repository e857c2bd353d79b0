package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/local"
)

// statusWidth is what a terminal shows in one line: sentences are broken there.
const statusWidth = 80

// A statusPage is the status as text for one screen: what is wrong first.
type statusPage struct {
	bytes.Buffer
	local.Report
}

func statusText(r local.Report) []byte {
	p := &statusPage{Report: r}
	fmt.Fprintf(p, "%s has been running for %s (fieldgate %s)\n", r.GatewayID, lasting(seconds(r.Uptime)), r.Version)
	p.problems()
	p.devices()
	p.cloud()
	p.store()
	p.clock()
	p.config()
	return p.Bytes()
}

// part begins a part of the page with a line that has its name.
func (p *statusPage) part(name, format string, args ...any) {
	p.WriteByte('\n')
	p.row(name, format, args...)
}

// row writes one line of a part; what is too long goes on below.
func (p *statusPage) row(name, format string, args ...any) {
	fmt.Fprintf(p, "%-9s", name)
	p.fold(fmt.Sprintf(format, args...), 9)
}

// fold writes a sentence, the first line of which begins at column.
func (p *statusPage) fold(sentence string, column int) {
	at := column
	for i, word := range strings.Fields(sentence) {
		switch n := len([]rune(word)); {
		case i > 0 && at+1+n > statusWidth:
			p.WriteString("\n" + strings.Repeat(" ", column) + word)
			at = column + n
		case i > 0:
			p.WriteString(" " + word)
			at += 1 + n
		default:
			p.WriteString(word)
			at += n
		}
	}
	p.WriteByte('\n')
}

// ago is how long something is over, by the gateway's own clock.
func (p *statusPage) ago(t time.Time) string { return lasting(p.Time.Sub(t)) }

func (p *statusPage) problems() {
	if len(p.Health) == 0 {
		p.part("WRONG", "nothing")
		return
	}
	for _, c := range p.Health {
		name := "WRONG"
		if c.Severity == health.Warning {
			name = "WARNING"
		}
		p.part(name, "%s", c.Sentence)
		p.row("", "(%s, for %s)", c.Code, p.ago(c.Since))
	}
}

func (p *statusPage) devices() {
	answering := 0
	for _, d := range p.Devices {
		if d.State == local.DeviceOK {
			answering++
		}
	}
	p.part("DEVICES", "%d of %d answer", answering, len(p.Devices))
	table := tabwriter.NewWriter(p, 0, 0, 2, ' ', 0)
	for _, d := range p.Devices {
		name, state := d.ID, p.deviceState(d)
		for _, ch := range p.channelsOf(d.ID) {
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", name, state, ch.Quantity, lastValue(ch))
			name, state = "", "" // once for each device
		}
		if name != "" {
			fmt.Fprintf(table, "  %s\t%s\t\t\n", name, state)
		}
	}
	_ = table.Flush() // into memory
}

func (p *statusPage) channelsOf(device string) []local.ChannelRow {
	return slices.DeleteFunc(slices.Clone(p.Channels), func(c local.ChannelRow) bool { return c.Device != device })
}

func (p *statusPage) deviceState(d local.Device) string {
	switch d.State {
	case local.DeviceOK:
		return "ok"
	case local.DeviceStarting:
		return "not read yet"
	}
	return fmt.Sprintf("%s for %s", strings.ToUpper(string(d.State)), p.ago(d.Since))
}

// lastValue says what a channel gave last, when, and what is wrong with it.
func lastValue(ch local.ChannelRow) string {
	if ch.Age == nil {
		return "no value since the start"
	}
	text := "no number"
	if ch.Value != nil {
		text = withUnit(*ch.Value, ch.Unit)
	}
	text += "\t" + lasting(seconds(*ch.Age)) + " ago"
	if ch.Quality != gateway.Good.String() {
		text += "\t" + strings.ReplaceAll(ch.Quality, "_", " ")
	}
	if g := ch.LastGood; g != nil {
		text += fmt.Sprintf(", last good %s, %s ago", withUnit(g.Value, ch.Unit), lasting(seconds(g.Age)))
	}
	return text
}

func (p *statusPage) cloud() {
	up := p.Uplink
	since, next := "", ""
	if !up.Since.IsZero() {
		since = " for " + p.ago(up.Since)
	}
	if !up.NextTry.IsZero() {
		next = ". Next try in " + lasting(up.NextTry.Sub(p.Time))
	}
	switch up.State {
	case local.UplinkOnline:
		p.part("CLOUD", "connected%s to %s", since, up.Endpoint)
	case local.UplinkPaused:
		p.part("CLOUD", "connected%s to %s, but it takes nothing for now (%s)", since, up.Endpoint, cmp.Or(up.PausedBy, "it does not say why"))
	case local.UplinkDraining:
		p.part("CLOUD", "connected%s to %s, which asked to come back later", since, up.Endpoint)
	case local.UplinkOff:
		p.part("CLOUD", "none is configured: all readings stay on this board")
	case local.UplinkNoCredential:
		p.part("CLOUD", "not connected: this gateway was never enrolled. Enrol it: sudo fieldgate enroll")
	case local.UplinkRefused:
		p.part("CLOUD", "not connected%s: %s refuses this gateway: %s%s", since, up.Endpoint, up.LastError, next)
	default:
		p.part("CLOUD", "not connected%s to %s: %s%s", since, up.Endpoint, cmp.Or(up.LastError, "it is being tried"), next)
	}
	if up.Traffic != nil && up.Traffic.HeldBack != "" {
		p.row("", "The budget of the line is used up: %s is held back.", up.Traffic.HeldBack)
	}
}

func (p *statusPage) store() {
	st := p.Store
	switch {
	case p.Uplink.State == local.UplinkOff:
		p.part("STORE", "%s on this board", counted(st.Stored+st.Head, "reading"))
	case st.Unacked == 0:
		p.part("STORE", "no reading waits for the cloud")
	case st.Unacked == 1:
		p.part("STORE", "1 reading waits for the cloud, for %s", lasting(seconds(st.OldestUnacked)))
	default:
		p.part("STORE", "%d readings wait for the cloud, the oldest for %s", st.Unacked, lasting(seconds(st.OldestUnacked)))
	}
	switch st.Volatile {
	case "yes":
		p.row("", "A power cut costs ALL of them: the store is in RAM, not on a card.")
	case "unknown":
		p.row("", "A power cut may cost all of them: it is not known whether the store is on a card.")
	default:
		p.row("", "A power cut costs at most the last %s.", lasting(seconds(st.LossWindow)))
	}
	card := inBytes(float64(st.Bytes+st.JournalBytes)) + " on the card"
	if p.Uptime >= 600 { // before, it is mostly what a start costs
		card += ", " + inBytes(st.WrittenDaily) + " written a day"
	}
	if st.CardYears > 0 {
		card += fmt.Sprintf("; so it lasts %.0f years", st.CardYears)
	}
	if st.TimeToFull > 0 {
		card += fmt.Sprintf("; room for %s without the cloud", lasting(seconds(st.TimeToFull)))
	}
	p.row("", "%s.", card)
	var missing uint64
	for _, n := range st.GapReadings {
		missing += n
	}
	if missing > 0 {
		p.row("", "At most %s missing for good: the cloud is told which.", counted(missing, "reading"))
	}
	if st.UncleanStops > 0 {
		p.row("", "%d starts in 24 hours, %d of them after a power cut or crash.", st.Openings, st.UncleanStops)
	}
}

// clockWords say how far the time may be believed.
var clockWords = map[string]string{
	gateway.ClockNTP.String():     "right: synchronised over the network (NTP)",
	gateway.ClockSession.String(): "right: from the cloud",
	gateway.ClockRTC.String():     "probably right: from the clock chip of this board",
	gateway.ClockNone.String():    "NOT BELIEVED: nothing has set it since the start. Readings get their right time when it is known",
}

func (p *statusPage) clock() {
	p.part("CLOCK", "%s UTC, %s", p.Time.UTC().Format("2006-01-02 15:04:05"), cmp.Or(clockWords[p.Clock.Quality], p.Clock.Quality))
}

func (p *statusPage) config() {
	if p.Config == nil {
		return
	}
	switch {
	case p.Config.OnTrial:
		p.part("CONFIG", "version %d of the cloud is on trial", p.Config.Version)
	case p.Config.Version > 0:
		p.part("CONFIG", "version %d of the cloud is in force", p.Config.Version)
	}
	if r := p.Config.Refused; r != nil {
		p.part("CONFIG", "version %d of the cloud was not taken (%s): %s",
			r.Version, strings.ReplaceAll(r.State, "_", " "), strings.Join(r.Errors, "; "))
	}
}
