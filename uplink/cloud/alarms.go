package cloud

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	alarmTick          = 10 * time.Second
	defaultBacklogAge  = time.Hour
	defaultConsumerAge = 5 * time.Minute
)

// An alarm is something that an operator should look at. It has no end of its
// own: it is gone when its cause is.
type alarm struct {
	Code     string     `json:"code"` // backlog_age, consumer_lag
	Subject  string     `json:"subject"`
	Sentence string     `json:"sentence"`
	Since    *time.Time `json:"since"`
}

// alarms is the part that watches the age of backlogs and how far consumers of
// the log are behind, and tells each beginning and end once.
type alarms struct {
	presences   *presences
	consumers   func(context.Context) ([]ConsumerState, error) // nil: not known
	logger      *slog.Logger
	backlogAge  time.Duration
	consumerAge time.Duration

	mu      sync.Mutex       // guards what follows
	raised  map[string]alarm // by code and subject
	lagging []ConsumerState
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
		id, oldest.Format(timeLayout)), &since}
}

// ofCloud gives the alarms that are of no gateway.
func (a *alarms) ofCloud() []alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []alarm{}
	for _, key := range slices.Sorted(maps.Keys(a.raised)) {
		if x := a.raised[key]; x.Code != "backlog_age" {
			list = append(list, x)
		}
	}
	return list
}

// sentence tells what a consumer that lags means.
func (c ConsumerState) sentence() string {
	text := fmt.Sprintf("The consumer %q has not taken what the log has held since %s. Nothing is lost; nothing is purged before it has.",
		c.Name, c.Oldest.UTC().Format(timeLayout))
	if !c.Used && c.Name != ledgerName {
		text += fmt.Sprintf(" No server consumes under this name: if none is to, fieldgate-cloud consumer forget %s.", c.Name)
	}
	return text
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
func (a *alarms) behind() []ConsumerState {
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
	var states []ConsumerState
	if a.consumers != nil {
		var err error
		if states, err = a.consumers(ctx); err != nil {
			a.logger.Debug("how far the consumers of the log are is not known", "error", err)
		}
	}
	for _, c := range states {
		if !c.Oldest.IsZero() && time.Since(c.Oldest) > a.consumerAge {
			since := c.Oldest.Add(a.consumerAge)
			now["consumer_lag "+c.Name] = alarm{"consumer_lag", c.Name, c.sentence(), &since}
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
