package jetstream_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
)

// TestStreamThatSomebodyChanged: what an ack rests on is put right in a stream
// that is there already; what is the operators' to choose stays; where it
// cannot be put right, nothing is served.
func TestStreamThatSomebodyChanged(t *testing.T) {
	s := serve(t, nil)
	opt := jetstream.Options{URL: s.ClientURL(), Replicas: 1}
	l := open(t, opt)
	js, err := natsjs.New(l.Conn())
	if err != nil {
		t.Fatal(err)
	}
	newWriter(t, l).add("a", "a")
	cfg := l.StreamConfig()
	cfg.MaxAge, cfg.Discard, cfg.AllowDirect, cfg.MaxMsgs, cfg.MaxMsgsPerSubject = time.Hour, natsjs.DiscardOld, true, 1000, 500
	cfg.MaxBytes, cfg.Description, cfg.Duplicates, cfg.MaxMsgSize = 1<<20, "ours", time.Minute, 1<<10
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	l = open(t, opt)
	c := l.StreamConfig()
	if c.MaxAge != 0 || c.Discard != natsjs.DiscardNew || c.AllowDirect || c.MaxMsgs != -1 || c.MaxMsgsPerSubject != -1 ||
		c.MaxMsgSize != 1<<20 || c.Duplicates.Minutes() != 2 {
		t.Errorf("not put right: %+v", c)
	}
	if c.MaxBytes != 1<<20 || c.Description != "ours" {
		t.Errorf("what is the operators' was changed: %+v", c)
	}
	if got := scan(t, l, 0); got != "a1 a2" {
		t.Errorf("got %s", got)
	}
}

func TestStreamsThatCannotBeTheLog(t *testing.T) {
	subjects := []string{"fg.v1.raw.default.*"}
	for says, cfg := range map[string]natsjs.StreamConfig{
		"copies another":     {Mirror: &natsjs.StreamSource{Name: "OTHER"}},
		"copies another too": {Subjects: subjects, Sources: []*natsjs.StreamSource{{Name: "OTHER"}}},
		"is sealed":          {Subjects: subjects},
		"kept in memory":     {Subjects: subjects, Storage: natsjs.MemoryStorage},
		"retention policy":   {Subjects: subjects, Retention: natsjs.InterestPolicy},
		"persist mode async": {Subjects: subjects, PersistMode: natsjs.AsyncPersistMode},
	} {
		t.Run(says, func(t *testing.T) {
			s := serve(t, nil)
			opt := jetstream.Options{URL: s.ClientURL(), Replicas: 1, Logger: slog.New(slog.DiscardHandler)}
			l := open(t, opt)
			js, err := natsjs.New(l.Conn())
			if err == nil {
				err = js.DeleteStream(t.Context(), "FG_RAW")
			}
			if err == nil {
				_, err = js.CreateStream(t.Context(), natsjs.StreamConfig{Name: "OTHER", Subjects: []string{"other"}})
			}
			cfg.Name = "FG_RAW"
			if err == nil {
				_, err = js.CreateStream(t.Context(), cfg)
			}
			if says == "is sealed" && err == nil {
				cfg.Sealed = true
				_, err = js.UpdateStream(t.Context(), cfg)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jetstream.Open(t.Context(), opt); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(says, " too")) {
				t.Errorf("got %v", err)
			}
		})
	}
}
