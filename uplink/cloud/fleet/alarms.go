package fleet

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const (
	alarmTick          = 10 * time.Second
	defaultBacklogAge  = time.Hour
	defaultConsumerAge = 5 * time.Minute
	defaultEpochs      = 24
)

// Day is over how long epochs are counted.
const Day = 24 * time.Hour

// An Alarm is something that an operator should look at. It has no end of its
// own: it is gone when its cause is.
type Alarm struct {
	Code     string     `json:"code"` // one of AlarmCodes
	Subject  string     `json:"subject"`
	Sentence string     `json:"sentence"`
	Since    *time.Time `json:"since"`
}

// AlarmCodes are the codes of all alarms.
var AlarmCodes = []string{"backlog_age", "consumer_lag", "epochs_per_day", "certificate_ends"}

// Alarms is the part that watches the age of backlogs, how far consumers of
// the log are behind and how often gateways begin an epoch, and tells each
// beginning and end once. Of epochs only the server learns that keeps the
// ledger at the time.
type Alarms struct {
	opt AlarmOptions

	mu       sync.Mutex       // guards what follows
	raised   map[string]Alarm // by code and subject
	lagging  []record.ConsumerState
	restless map[string][]time.Time // by gateway: when the newest epochs began, if they are too many
}

// AlarmOptions says what Alarms watch, and from when on it is an alarm.
type AlarmOptions struct {
	Presences   *Presences
	Consumers   func(context.Context) ([]record.ConsumerState, error)
	Ends        func() map[string]time.Time // of certificates, by where they are from
	Logger      *slog.Logger
	BacklogAge  time.Duration // 0: 1 h
	ConsumerAge time.Duration // 0: 5 min
	Epochs      int           // within a day; 0: 24, -1: any number
}

// NewAlarms makes alarms; none is raised yet.
func NewAlarms(opt AlarmOptions) *Alarms {
	opt.BacklogAge = cmp.Or(opt.BacklogAge, defaultBacklogAge)
	opt.ConsumerAge = cmp.Or(opt.ConsumerAge, defaultConsumerAge)
	opt.Epochs = cmp.Or(opt.Epochs, defaultEpochs)
	return &Alarms{opt: opt, raised: map[string]Alarm{}, restless: map[string][]time.Time{}}
}

// Of gives the alarms of a gateway whose oldest reading that the cloud lacks
// is this old.
func (a *Alarms) Of(id string, oldest *time.Time) []Alarm {
	list := []Alarm{}
	if oldest != nil && time.Since(*oldest) > a.opt.BacklogAge {
		list = append(list, a.ofBacklog(id, *oldest))
	}
	return list
}

func (a *Alarms) ofBacklog(id string, oldest time.Time) Alarm {
	since := oldest.Add(a.opt.BacklogAge)
	return Alarm{"backlog_age", id, fmt.Sprintf(
		"The cloud lacks readings of %s from %s on: it is not connected, or it cannot send them fast enough. They are kept on the gateway.",
		id, oldest.Format(ledger.TimeLayout)), &since}
}

// OfEpochs gives the alarm of a gateway whose newest epochs began at these
// times; false if there is none.
func (a *Alarms) OfEpochs(id string, born []time.Time) (Alarm, bool) {
	for len(born) > 0 && time.Since(born[0]) >= Day {
		born = born[1:]
	}
	if a.opt.Epochs < 0 || len(born) <= a.opt.Epochs {
		return Alarm{}, false
	}
	return Alarm{"epochs_per_day", id, fmt.Sprintf(
		"%s has begun %d epochs within 24 hours: it restarts, or it is away for long, again and again. Its own journal tells which.",
		id, len(born)), ledger.UTC(born[a.opt.Epochs])}, true
}

// NoteBirths notes when the newest epochs of a gateway began.
func (a *Alarms) NoteBirths(id string, born []time.Time) {
	_, many := a.OfEpochs(id, born)
	a.mu.Lock()
	defer a.mu.Unlock()
	if delete(a.restless, id); many {
		a.restless[id] = slices.Clone(born)
	}
}

// restlessNow adds the alarms of gateways that begin too many epochs.
func (a *Alarms) restlessNow(now map[string]Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, born := range a.restless {
		if x, many := a.OfEpochs(id, born); many {
			now[x.Code+" "+id] = x
		} else {
			delete(a.restless, id)
		}
	}
}

// OfCloud gives the alarms that are of no gateway.
func (a *Alarms) OfCloud() []Alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []Alarm{}
	for _, key := range slices.Sorted(maps.Keys(a.raised)) {
		if x := a.raised[key]; x.Code == "consumer_lag" || x.Code == "certificate_ends" {
			list = append(list, x)
		}
	}
	return list
}

// lagging tells what a consumer that lags means.
func lagging(c record.ConsumerState) string {
	text := fmt.Sprintf("The consumer %q has not taken what the log has held since %s. Nothing is lost; nothing is purged before it has.",
		c.Name, c.Oldest.UTC().Format(ledger.TimeLayout))
	if !c.Used && c.Name != ledger.ConsumerName {
		text += fmt.Sprintf(" No server consumes under this name: if none is to, fieldgate-cloud consumer forget %s.", c.Name)
	}
	return text
}

// certificateNotice is how long before its end a certificate is an alarm.
const certificateNotice = 14 * Day

// endingNow adds the alarms of certificates that end soon, or have ended.
func (a *Alarms) endingNow(now map[string]Alarm) {
	for of, end := range a.opt.Ends() {
		if time.Until(end) < certificateNotice {
			now["certificate_ends "+of] = Alarm{"certificate_ends", of, fmt.Sprintf(
				"The certificate in %s ends on %s: put a new one in its place. It is taken without a restart.",
				of, end.UTC().Format(ledger.TimeLayout)), ledger.UTC(end.Add(-certificateNotice))}
		}
	}
}

// Count gives how many alarms of a code there are.
func (a *Alarms) Count(code string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, x := range a.raised {
		if x.Code == code {
			n++
		}
	}
	return n
}

// Consumers gives how far the consumers of the log are.
func (a *Alarms) Consumers() []record.ConsumerState {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.lagging)
}

// Run looks again and again until ctx is done.
func (a *Alarms) Run(ctx context.Context) {
	tick := time.NewTicker(alarmTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.look(ctx)
		}
	}
}

func (a *Alarms) look(ctx context.Context) {
	now := map[string]Alarm{}
	for _, id := range a.opt.Presences.All() {
		if p, ok := a.opt.Presences.Of(id); ok {
			for _, x := range a.Of(id, p.Oldest()) {
				now[x.Code+" "+id] = x
			}
		}
	}
	a.restlessNow(now)
	a.endingNow(now)
	states, err := a.opt.Consumers(ctx)
	if err != nil {
		a.opt.Logger.Debug("how far the consumers of the log are is not known", "error", err)
	}
	for _, c := range states {
		if !c.Oldest.IsZero() && time.Since(c.Oldest) > a.opt.ConsumerAge {
			since := c.Oldest.Add(a.opt.ConsumerAge)
			now["consumer_lag "+c.Name] = Alarm{"consumer_lag", c.Name, lagging(c), &since}
		}
	}
	a.mu.Lock()
	before := a.raised
	a.raised, a.lagging = now, states
	a.mu.Unlock()
	for key, x := range now {
		if _, was := before[key]; !was {
			a.opt.Logger.Warn(x.Sentence, "alarm", x.Code, "of", x.Subject)
		}
	}
	for key, x := range before {
		if _, is := now[key]; !is {
			a.opt.Logger.Info("the alarm is over", "alarm", x.Code, "of", x.Subject, "after", time.Since(*x.Since).Round(time.Second))
		}
	}
}
