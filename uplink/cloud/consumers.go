package cloud

import (
	"context"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/fleet"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/live"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// useConsumers adds the parts that serve those who read: the ledger.
func (s *Server) useConsumers() {
	s.hub = live.NewHub(s.opt.Log, s.opt.KV, s.opt.PubSub, s.opt.Logger)
	s.presences = fleet.NewPresences(fleet.PresenceOptions{
		KV: s.opt.KV, Logger: s.opt.Logger, Level: s.opt.Log.Level, Ended: s.serving.Wait, Changed: s.hub.PresenceChanged,
	})
	s.alarms = fleet.NewAlarms(fleet.AlarmOptions{
		Presences: s.presences, Consumers: s.opt.Gauge.Consumers, Logger: s.opt.Logger,
		Ends:       func() map[string]time.Time { return s.keys.Load().Ends },
		BacklogAge: s.opt.BacklogAlarm, ConsumerAge: s.opt.ConsumerAlarm, Epochs: s.opt.EpochsAlarm,
	})
	s.ledger = &ledger.Ledger{
		Log: s.opt.Log, Feed: s.opt.Feed, KV: s.opt.KV, Logger: s.opt.Logger, Pause: ledger.Pause, Births: s.alarms.NoteBirths,
		Note: func(ctx context.Context, id string, e *wire.Event) error { return s.dispatcher.FromLog(ctx, id, e) },
	}
	s.useConsumerMetrics()
	s.tickets = &live.Tickets{KV: s.opt.KV}
	s.parts = append(s.parts, part{run: s.ledger.Run}, presencePart(s.presences),
		part{stored: func(x *session, r record.Record, _ wire.Message) { s.hub.Stored(x.gatewayID, r) }, run: s.hub.Run}, part{run: s.alarms.Run})
}

// presencePart lets presence hear of sessions.
func presencePart(p *fleet.Presences) part {
	return part{
		opened: func(x *session) { p.Opened(view{x}) },
		closed: func(x *session, _ error) { p.Closed(view{x}) },
		heard:  func(x *session, m wire.Message) { p.Heard(view{x}, m) },
		stored: func(x *session, r record.Record, m wire.Message) { p.Stored(view{x}, r, m) },
		run:    p.Run,
	}
}
