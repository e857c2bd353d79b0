package cloud

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// The figures tell of every consumer how far it is behind, for how long, and
// whether it is used; its alarm, what to do about one that is not.
func TestConsumerFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inMemory(Options{Log: nil, Logger: slog.New(slog.DiscardHandler)})
		defer s.Close()
		old := record.ConsumerState{Name: "postgres", Behind: 7, Oldest: time.Now()}
		s.alarms.lagging = []record.ConsumerState{{Name: "ledger", Used: true}, old}
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
		if text := lagging(old); !strings.HasSuffix(text, "if none is to, fieldgate-cloud consumer forget postgres.") {
			t.Error(text)
		}
		old.Used = true
		if text := lagging(old); strings.Contains(text, "forget") {
			t.Errorf("of one that is used: %s", text)
		}
	})
}
