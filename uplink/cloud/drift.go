package cloud

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A configInfo says in the list of gateways how far a gateway is from the
// configuration that it is to run by.
type configInfo struct {
	Desired  uint64 `json:"desired"`         // its version
	Reported uint64 `json:"reported"`        // the version of which the gateway told last what became of it; 0: never
	State    string `json:"state,omitempty"` // of that: applied, rejected, rolled_back
	Drift    bool   `json:"drift"`           // what is desired is not known to be in force
}

func (c configInfo) refused() bool {
	return c.Drift && c.Reported == c.Desired && c.State != ""
}

// A drift is the part that knows of every gateway what it is to run by and
// what it has reported, so that nobody need read through the shelf for it.
type drift struct {
	shelf  record.KV
	logger *slog.Logger

	mu       sync.Mutex // guards what follows, by gateway_id
	desired  map[string]configVersion
	reported map[string]configVersion
}

type configVersion struct {
	Ver   uint64 `json:"ver"`
	Hash  string `json:"hash"`
	State string `json:"state"` // of a report
}

// useDrift shows in /metrics how many gateways do not run by what is desired.
func (s *Server) useDrift() {
	d := &drift{shelf: s.opt.KV, logger: s.opt.Logger, desired: map[string]configVersion{}, reported: map[string]configVersion{}}
	s.drift = d
	s.parts = append(s.parts, part{run: d.run})
	number := func(which func(configInfo) bool) func() float64 {
		return func() float64 { return float64(d.count(s.fleetNow(), which)) }
	}
	s.figures.gauge("config_desired_gateways", number(func(configInfo) bool { return true }))
	s.figures.gauge("config_drift_gateways", number(func(c configInfo) bool { return c.Drift }))
	s.figures.gauge("config_refused_gateways", number(configInfo.refused))
}

// fleetNow gives who has a credential; nil: not known yet.
func (s *Server) fleetNow() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fleet
}

// run hears of every change until ctx is done.
func (d *drift) run(ctx context.Context) {
	var watching sync.WaitGroup
	for kind, into := range map[string]map[string]configVersion{"cfg": d.desired, "rep": d.reported} {
		watching.Go(func() {
			err := d.shelf.Watch(ctx, kind, func(doc record.Doc) { d.hear(into, strings.TrimPrefix(doc.Key, kind+"."), doc.Body) })
			if err != nil && ctx.Err() == nil {
				d.logger.Error("how far gateways are from their configuration is no longer followed", "error", err)
			}
		})
	}
	watching.Wait()
}

func (d *drift) hear(into map[string]configVersion, id string, body []byte) {
	var v configVersion
	known := body != nil && json.Unmarshal(body, &v) == nil
	d.mu.Lock()
	defer d.mu.Unlock()
	if delete(into, id); known {
		into[id] = v
	}
}

// of gives a gateway's; nil if nothing is desired of it.
func (d *drift) of(id string) *configInfo {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	want, found := d.desired[id]
	if !found {
		return nil
	}
	got := d.reported[id]
	applied := got.State == string(gateway.ConfigApplied) && got.Hash == want.Hash
	return &configInfo{Desired: want.Ver, Reported: got.Ver, State: got.State, Drift: !applied}
}

// count gives of how many of these gateways it is so.
func (d *drift) count(fleet map[string]bool, which func(configInfo) bool) (n int) {
	d.mu.Lock()
	ids := make([]string, 0, len(d.desired))
	for id := range d.desired {
		ids = append(ids, id)
	}
	d.mu.Unlock()
	for _, id := range ids {
		if c := d.of(id); c != nil && fleet[id] && which(*c) {
			n++
		}
	}
	return n
}
