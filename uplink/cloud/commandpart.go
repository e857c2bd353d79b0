package cloud

import (
	"github.com/fieldgate/fieldgate/uplink/cloud/command"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// commandPart lets commands hear of sessions.
func commandPart(d *command.Dispatcher) part {
	return part{
		opened: func(x *session) { d.Opened(x.ctx, view{x}) },
		closed: func(x *session, _ error) { d.Closed(view{x}) },
		stored: func(x *session, _ record.Record, m wire.Message) { d.Stored(view{x}, m) },
		heard:  func(x *session, m wire.Message) { d.Heard(view{x}, m) },
		run:    d.Run,
	}
}

// useCommands adds the part for commands and configurations.
func (s *Server) useCommands() {
	s.dispatcher = command.NewDispatcher(s.opt.KV, s.opt.PubSub, s.opt.Logger, s.metrics.commandMoved)
	s.parts = append(s.parts, commandPart(s.dispatcher))
	s.useDrift()
}

// useDrift shows in /metrics how many gateways do not run by what is desired.
func (s *Server) useDrift() {
	d := command.NewDrift(s.opt.KV, s.opt.Logger)
	s.configDrift = d
	s.parts = append(s.parts, part{run: d.Run})
	number := func(which func(command.ConfigInfo) bool) func() float64 {
		return func() float64 { return float64(d.Count(s.fleetNow(), which)) }
	}
	s.metrics.gauge("config_desired_gateways", number(func(command.ConfigInfo) bool { return true }))
	s.metrics.gauge("config_drift_gateways", number(func(c command.ConfigInfo) bool { return c.Drift }))
	s.metrics.gauge("config_refused_gateways", number(command.ConfigInfo.Refused))
}

// fleetNow gives who has a credential; nil: not known yet.
func (s *Server) fleetNow() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fleet
}
