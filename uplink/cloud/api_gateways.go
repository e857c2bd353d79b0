package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/command"
	"github.com/fieldgate/fieldgate/uplink/cloud/fleet"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A gatewayInfo is one gateway in GET /v1/gateways.
type gatewayInfo struct {
	GatewayID string     `json:"gateway_id"`
	Connected bool       `json:"connected"`
	Since     *time.Time `json:"since,omitempty"`     // of the session
	LastSeen  *time.Time `json:"last_seen,omitempty"` // last message, or last record when no server knows of a session
	Session   uint64     `json:"gen,omitempty"`
	Software  string     `json:"software,omitempty"`
	Level     wire.Level `json:"level,omitempty"` // of durability, that it was told

	Backlog *ledger.Waiting `json:"backlog"` // what it said last that it still holds; null: it never said
	// of the readings that the cloud lacks; of a gateway that is away, since when it is
	OldestUnk *time.Time          `json:"oldest_unacknowledged"`
	Clock     *clockInfo          `json:"clock"`
	Health    []wire.Condition    `json:"health"`
	Figures   map[string]float64  `json:"figures,omitempty"`
	Alarms    []fleet.Alarm       `json:"alarms"`
	Config    *command.ConfigInfo `json:"config,omitempty"` // if one is desired

	EpochsPerDay int         `json:"epochs_per_day"` // begun within the last 24 hours: restarts, and outages worth a split; at most 64
	Epochs       []epochInfo `json:"epochs"`
}

type clockInfo struct {
	Quality string `json:"quality"`
	ErrMS   int64  `json:"err_ms"` // bound on its error; 0 unknown
}

type epochInfo struct {
	Epoch gateway.EpochID `json:"epoch"`
	Upto  uint64          `json:"upto"`
	Done  bool            `json:"done"`
	End   string          `json:"end"` // growing, closed, open, unlisted
}

// listGateways answers GET /v1/gateways.
func (s *Server) listGateways(w http.ResponseWriter, r *http.Request) {
	creds, err := s.opt.Credentials.List()
	list := []gatewayInfo{}
	for _, c := range creds {
		info, ierr := s.describe(r.Context(), c.ID)
		err = errors.Join(err, ierr)
		list = append(list, info)
	}
	if err != nil {
		s.opt.Logger.Error("cannot list gateways", "error", err)
		deny(w, http.StatusServiceUnavailable, "storage", "the gateways cannot be listed at the moment")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"gateways": list, "alarms": s.alarms.OfCloud()})
}

// serveDescription answers GET /v1/gateways/{id}.
func (s *Server) serveDescription(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.admitReader(w, r, id) {
		return
	}
	info, err := s.describe(r.Context(), id)
	if err != nil {
		s.opt.Logger.Error("cannot describe a gateway", "gateway", id, "error", err)
		deny(w, http.StatusServiceUnavailable, "storage", "the gateway cannot be described at the moment")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(info)
}

// describe joins what the log holds of a gateway with its session, wherever
// that is, and with what it says of itself.
func (s *Server) describe(ctx context.Context, id string) (gatewayInfo, error) {
	info := gatewayInfo{GatewayID: id, Epochs: []epochInfo{}, Health: []wire.Condition{}}
	last, err := s.opt.Log.Last(ctx, id)
	if err != nil && !errors.Is(err, record.ErrNoRecord) {
		return info, err
	}
	held, err := record.ParseState(last.State)
	if err != nil {
		return info, err
	}
	for _, e := range held.Epochs {
		info.Epochs = append(info.Epochs, epochInfo{e.ID, e.Upto, e.Done(), ledger.EndNames[e.End]})
	}
	births, err := ledger.Births(ctx, s.opt.KV, id)
	if err != nil {
		return info, err
	}
	for _, t := range births {
		if time.Since(t) < fleet.Day {
			info.EpochsPerDay++
		}
	}
	// While no server knows of a session, the newest record tells.
	info.LastSeen = ledger.UTC(last.At)
	if p, ok := s.presences.Of(id); ok {
		info.fill(p, last.At)
	}
	info.Config = s.configDrift.Of(id)
	info.Alarms = s.alarms.Of(id, info.OldestUnk)
	if x, many := s.alarms.OfEpochs(id, births); many {
		info.Alarms = append(info.Alarms, x)
	}
	return info, nil
}

// fill takes in what is known of the session.
func (info *gatewayInfo) fill(p fleet.Presence, stored time.Time) {
	info.LastSeen = ledger.UTC(ledger.Latest(p.Seen, stored))
	info.Software, info.Level, info.Backlog = p.Software, p.Level, p.Waiting()
	info.Clock = &clockInfo{p.Clock.Quality.String(), p.Clock.ErrMS}
	info.Health, info.Figures = append(info.Health, p.Health...), p.Figures
	info.OldestUnk = p.Oldest()
	if p.Connected {
		info.Connected, info.Since, info.Session = true, ledger.UTC(p.Since), p.Gen
	}
}
