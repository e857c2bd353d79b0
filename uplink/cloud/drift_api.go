package cloud

import "github.com/fieldgate/fieldgate/uplink/cloud/command"

// useDrift shows in /metrics how many gateways do not run by what is desired.
func (s *Server) useDrift() {
	d := command.NewDrift(s.opt.KV, s.opt.Logger)
	s.drift = d
	s.parts = append(s.parts, part{run: d.Run})
	number := func(which func(command.ConfigInfo) bool) func() float64 {
		return func() float64 { return float64(d.Count(s.fleetNow(), which)) }
	}
	s.figures.gauge("config_desired_gateways", number(func(command.ConfigInfo) bool { return true }))
	s.figures.gauge("config_drift_gateways", number(func(c command.ConfigInfo) bool { return c.Drift }))
	s.figures.gauge("config_refused_gateways", number(command.ConfigInfo.Refused))
}

// fleetNow gives who has a credential; nil: not known yet.
func (s *Server) fleetNow() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fleet
}
