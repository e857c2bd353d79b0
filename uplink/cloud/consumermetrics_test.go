package cloud

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A lagging is a gauge that gives these states.
type lagging struct {
	cloudtest.Feed
	states []record.ConsumerState
}

func (l lagging) Consumers(context.Context) ([]record.ConsumerState, error) { return l.states, nil }

// The figures tell of every consumer how far it is behind, for how long, and
// whether it is used.
func TestConsumerFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inMemory(Options{Logger: slog.New(slog.DiscardHandler), Gauge: lagging{states: []record.ConsumerState{
			{Name: "ledger", Used: true}, {Name: "postgres", Behind: 7, Oldest: time.Now()},
		}}})
		var watching sync.WaitGroup
		watching.Go(func() { s.alarms.Run(s.ctx) })
		defer watching.Wait()
		defer s.Close()
		time.Sleep(90 * time.Second)
		var shown strings.Builder
		s.writeConsumerMetrics(&shown)
		for _, line := range []string{
			`js_consumer_lag{consumer="postgres"} 7`, `js_consumer_lag_seconds{consumer="postgres"} 90.000`,
			`js_consumer_used{consumer="postgres"} 0`,
			`js_consumer_lag{consumer="ledger"} 0`, `js_consumer_lag_seconds{consumer="ledger"} 0.000`, `js_consumer_used{consumer="ledger"} 1`,
		} {
			if !strings.Contains(shown.String(), metricPrefix+line+"\n") {
				t.Errorf("%s is not in\n%s", line, &shown)
			}
		}
	})
}
