package cloud

import (
	"cmp"
	"context"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/live"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// useConsumers adds the parts that serve those who read: the ledger.
func (s *Server) useConsumers() {
	s.presences = newPresences(s)
	s.hub = live.NewHub(s.opt.Log, s.opt.KV, s.opt.PubSub, s.opt.Logger)
	s.presences.changed = s.hub.PresenceChanged
	s.alarms = &alarms{
		ends: func() map[string]time.Time { return s.keys.Load().Ends }, consumers: s.opt.Gauge.Consumers,
		presences: s.presences, logger: s.opt.Logger, raised: map[string]alarm{},
		restless: map[string][]time.Time{}, epochs: cmp.Or(s.opt.EpochsAlarm, defaultEpochs),
		backlogAge: cmp.Or(s.opt.BacklogAlarm, defaultBacklogAge), consumerAge: cmp.Or(s.opt.ConsumerAlarm, defaultConsumerAge),
	}
	s.ledger = &ledger.Ledger{
		Log: s.opt.Log, Feed: s.opt.Feed, KV: s.opt.KV, Logger: s.opt.Logger, Pause: ledger.Pause, Births: s.alarms.births,
		Note: func(ctx context.Context, id string, e *wire.Event) error { return s.dispatcher.FromLog(ctx, id, e) },
	}
	s.useConsumerMetrics()
	s.tickets = &live.Tickets{KV: s.opt.KV}
	s.parts = append(s.parts, part{run: s.ledger.Run},
		part{opened: s.presences.opened, closed: s.presences.closed, heard: s.presences.heard, stored: s.presences.stored, run: s.presences.run},
		part{stored: func(x *session, r record.Record, _ wire.Message) { s.hub.Stored(x.gatewayID, r) }, run: s.hub.Run}, part{run: s.alarms.run})
}
