package cloud

import (
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
	day                = 24 * time.Hour
)

// An alarm is something that an operator should look at. It has no end of its
// own: it is gone when its cause is.
type alarm struct {
	Code     string     `json:"code"` // one of alarmCodes
	Subject  string     `json:"subject"`
	Sentence string     `json:"sentence"`
	Since    *time.Time `json:"since"`
}

var alarmCodes = []string{"backlog_age", "consumer_lag", "epochs_per_day", "certificate_ends"}

// alarms is the part that watches the age of backlogs, how far consumers of
// the log are behind and how often gateways begin an epoch, and tells each
// beginning and end once. Of epochs only the server learns that keeps the
// ledger at the time.
type alarms struct {
	presences   *presences
	consumers   func(context.Context) ([]record.ConsumerState, error)
	ends        func() map[string]time.Time // of certificates, by where they are from
	logger      *slog.Logger
	backlogAge  time.Duration
	consumerAge time.Duration
	epochs      int // within a day; -1: any number

	mu       sync.Mutex       // guards what follows
	raised   map[string]alarm // by code and subject
	lagging  []record.ConsumerState
	restless map[string][]time.Time // by gateway: when the newest epochs began, if they are too many
}

// of gives the alarms of a gateway whose oldest reading that the cloud lacks
// is this old.
func (a *alarms) of(id string, oldest *time.Time) []alarm {
	list := []alarm{}
	if oldest != nil && time.Since(*oldest) > a.backlogAge {
		list = append(list, a.ofBacklog(id, *oldest))
	}
	return list
}

func (a *alarms) ofBacklog(id string, oldest time.Time) alarm {
	since := oldest.Add(a.backlogAge)
	return alarm{"backlog_age", id, fmt.Sprintf(
		"The cloud lacks readings of %s from %s on: it is not connected, or it cannot send them fast enough. They are kept on the gateway.",
		id, oldest.Format(ledger.TimeLayout)), &since}
}

// ofEpochs gives the alarm of a gateway whose newest epochs began at these
// times; false if there is none.
func (a *alarms) ofEpochs(id string, born []time.Time) (alarm, bool) {
	for len(born) > 0 && time.Since(born[0]) >= day {
		born = born[1:]
	}
	if a.epochs < 0 || len(born) <= a.epochs {
		return alarm{}, false
	}
	return alarm{"epochs_per_day", id, fmt.Sprintf(
		"%s has begun %d epochs within 24 hours: it restarts, or it is away for long, again and again. Its own journal tells which.",
		id, len(born)), ledger.UTC(born[a.epochs])}, true
}

// births notes when the newest epochs of a gateway began.
func (a *alarms) births(id string, born []time.Time) {
	_, many := a.ofEpochs(id, born)
	a.mu.Lock()
	defer a.mu.Unlock()
	if delete(a.restless, id); many {
		a.restless[id] = slices.Clone(born)
	}
}

// restlessNow adds the alarms of gateways that begin too many epochs.
func (a *alarms) restlessNow(now map[string]alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, born := range a.restless {
		if x, many := a.ofEpochs(id, born); many {
			now[x.Code+" "+id] = x
		} else {
			delete(a.restless, id)
		}
	}
}

// ofCloud gives the alarms that are of no gateway.
func (a *alarms) ofCloud() []alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []alarm{}
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
const certificateNotice = 14 * day

// endingNow adds the alarms of certificates that end soon, or have ended.
func (a *alarms) endingNow(now map[string]alarm) {
	for of, end := range a.ends() {
		if time.Until(end) < certificateNotice {
			now["certificate_ends "+of] = alarm{"certificate_ends", of, fmt.Sprintf(
				"The certificate in %s ends on %s: put a new one in its place. It is taken without a restart.",
				of, end.UTC().Format(ledger.TimeLayout)), ledger.UTC(end.Add(-certificateNotice))}
		}
	}
}

// count gives how many alarms of a code there are.
func (a *alarms) count(code string) int {
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

// behind gives how many records a consumer has before it.
func (a *alarms) behind() []record.ConsumerState {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.lagging)
}

// run looks again and again until ctx is done.
func (a *alarms) run(ctx context.Context) {
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

func (a *alarms) look(ctx context.Context) {
	now := map[string]alarm{}
	for _, id := range a.presences.all() {
		if p, ok := a.presences.of(id); ok {
			for _, x := range a.of(id, p.oldest()) {
				now[x.Code+" "+id] = x
			}
		}
	}
	a.restlessNow(now)
	a.endingNow(now)
	states, err := a.consumers(ctx)
	if err != nil {
		a.logger.Debug("how far the consumers of the log are is not known", "error", err)
	}
	for _, c := range states {
		if !c.Oldest.IsZero() && time.Since(c.Oldest) > a.consumerAge {
			since := c.Oldest.Add(a.consumerAge)
			now["consumer_lag "+c.Name] = alarm{"consumer_lag", c.Name, lagging(c), &since}
		}
	}
	a.mu.Lock()
	before := a.raised
	a.raised, a.lagging = now, states
	a.mu.Unlock()
	for key, x := range now {
		if _, was := before[key]; !was {
			a.logger.Warn(x.Sentence, "alarm", x.Code, "of", x.Subject)
		}
	}
	for key, x := range before {
		if _, is := now[key]; !is {
			a.logger.Info("the alarm is over", "alarm", x.Code, "of", x.Subject, "after", time.Since(*x.Since).Round(time.Second))
		}
	}
}
