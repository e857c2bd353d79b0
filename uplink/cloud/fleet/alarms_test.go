package fleet

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// Every alarm is told once when it begins and once when it is over.
func TestAlarmsAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, _ := servers(t, 1)
		var log strings.Builder
		lag := []record.ConsumerState{{Name: "ledger"}, {Name: "postgres"}}
		a := NewAlarms(AlarmOptions{
			Presences: list[0], Logger: slog.New(slog.NewTextHandler(&log, nil)),
			BacklogAge: time.Hour, ConsumerAge: 5 * time.Minute, Ends: func() map[string]time.Time { return nil },
			Consumers: func(context.Context) ([]record.ConsumerState, error) { return lag, nil },
		})
		x := aSession(1)
		list[0].Opened(x)
		told := func(want ...string) {
			t.Helper()
			for range 10 {
				a.look(t.Context())
			}
			got := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
			log.Reset()
			if len(want) == 0 && len(got) == 1 && got[0] == "" {
				return
			}
			if len(got) != len(want) {
				t.Fatalf("told %q, want %q", got, want)
			}
			for i := range want {
				if !strings.Contains(got[i], want[i]) {
					t.Errorf("told %s, want %s", got[i], want[i])
				}
			}
		}
		told()
		list[0].Heard(x, &wire.Status{Figures: map[string]float64{"unacknowledged": 3, "oldest_unacknowledged_s": 3500}})
		told()
		time.Sleep(2 * time.Minute)
		told(`level=WARN msg="The cloud lacks readings of g from`)
		if a.Count("backlog_age") != 1 || len(a.OfCloud()) != 0 {
			t.Errorf("%d alarms", a.Count("backlog_age"))
		}
		list[0].Heard(x, &wire.Status{Figures: map[string]float64{"unacknowledged": 0}})
		told(`msg="the alarm is over" alarm=backlog_age of=g after=20s`)
		list[0].Closed(x)
		told()
		time.Sleep(time.Hour + time.Second)
		told("alarm=backlog_age of=g") // what it measures while it is away, the cloud lacks
		list[0].Opened(aSession(2))
		told("is over")
		lag[1].Behind, lag[1].Oldest = 12, time.Now()
		told()
		time.Sleep(6 * time.Minute)
		told(`alarm=consumer_lag of=postgres`)
		if l := a.OfCloud(); len(l) != 1 || l[0].Subject != "postgres" || a.Consumers()[1].Behind != 12 {
			t.Errorf("%+v", l)
		}
		lag[1] = record.ConsumerState{Name: "postgres"}
		told("is over")
	})
}

// A gateway that begins too many epochs in a day is an alarm until they are a
// day old.
func TestTooManyEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, _ := servers(t, 1)
		var log strings.Builder
		a := NewAlarms(AlarmOptions{
			Presences: list[0], Logger: slog.New(slog.NewTextHandler(&log, nil)),
			BacklogAge: time.Hour, ConsumerAge: time.Hour, Epochs: 3,
			Ends: func() map[string]time.Time { return nil }, Consumers: cloudtest.Feed{}.Consumers,
		})
		var born []time.Time
		for range 4 {
			time.Sleep(time.Hour)
			born = append(born, time.Now())
			a.NoteBirths("g", born)
			a.NoteBirths("calm", born[len(born)-1:])
		}
		began := time.Now()
		for range 3 {
			a.look(t.Context())
		}
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "g has begun 4 epochs within 24 hours") ||
			a.Count("epochs_per_day") != 1 {
			t.Errorf("%d alarms: %s", a.Count("epochs_per_day"), text)
		}
		if x := a.raised["epochs_per_day g"]; !x.Since.Equal(began.UTC().Truncate(time.Millisecond)) || len(a.OfCloud()) != 0 {
			t.Errorf("%+v of the gateway, %+v of none", x, a.OfCloud())
		}
		time.Sleep(21*time.Hour + time.Second) // the first is a day old
		log.Reset()
		a.look(t.Context())
		if !strings.Contains(log.String(), "the alarm is over") || a.Count("epochs_per_day") != 0 || len(a.restless) != 0 {
			t.Errorf("a day later: %s", log.String())
		}
		a.opt.Epochs = -1
		a.NoteBirths("g", append(born, time.Now(), time.Now(), time.Now(), time.Now()))
		if a.look(t.Context()); a.Count("epochs_per_day") != 0 {
			t.Error("any number is too many")
		}
	})
}

// The alarm of a consumer says what to do about one that nobody uses.
func TestAlarmOfAConsumer(t *testing.T) {
	c := record.ConsumerState{Name: "postgres", Behind: 7, Oldest: time.Now()}
	if text := lagging(c); !strings.HasSuffix(text, "if none is to, fieldgate-cloud consumer forget postgres.") {
		t.Error(text)
	}
	c.Used = true
	if text := lagging(c); strings.Contains(text, "forget") {
		t.Errorf("of one that is used: %s", text)
	}
}
