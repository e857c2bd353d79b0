package command

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A ConfigInfo says in the list of gateways how far a gateway is from the
// configuration that it is to run by.
type ConfigInfo struct {
	Desired  uint64 `json:"desired"`         // its version
	Reported uint64 `json:"reported"`        // the version of which the gateway told last what became of it; 0: never
	State    string `json:"state,omitempty"` // of that: applied, rejected, rolled_back
	Drift    bool   `json:"drift"`           // what is desired is not known to be in force
}

func (c ConfigInfo) Refused() bool {
	return c.Drift && c.Reported == c.Desired && c.State != ""
}

// A Drift is the part that knows of every gateway what it is to run by and
// what it has reported, so that nobody need read through the KV for it.
type Drift struct {
	kv     record.KV
	logger *slog.Logger

	mu       sync.Mutex // guards what follows, by gateway_id
	desired  map[string]configVersion
	reported map[string]configVersion
}

func NewDrift(kv record.KV, logger *slog.Logger) *Drift {
	return &Drift{kv: kv, logger: logger, desired: map[string]configVersion{}, reported: map[string]configVersion{}}
}

type configVersion struct {
	Ver   uint64 `json:"ver"`
	Hash  string `json:"hash"`
	State string `json:"state"` // of a report
}

// Run hears of every change until ctx is done.
func (d *Drift) Run(ctx context.Context) {
	var watching sync.WaitGroup
	for kind, into := range map[string]map[string]configVersion{"cfg": d.desired, "rep": d.reported} {
		watching.Go(func() {
			err := d.kv.Watch(ctx, kind, func(doc record.Doc) { d.hear(into, strings.TrimPrefix(doc.Key, kind+"."), doc.Body) })
			if err != nil && ctx.Err() == nil {
				d.logger.Error("how far gateways are from their configuration is no longer followed", "error", err)
			}
		})
	}
	watching.Wait()
}

func (d *Drift) hear(into map[string]configVersion, id string, body []byte) {
	var v configVersion
	known := body != nil && json.Unmarshal(body, &v) == nil
	d.mu.Lock()
	defer d.mu.Unlock()
	if delete(into, id); known {
		into[id] = v
	}
}

// Of gives a gateway's; nil if nothing is desired of it.
func (d *Drift) Of(id string) *ConfigInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	want, found := d.desired[id]
	if !found {
		return nil
	}
	got := d.reported[id]
	applied := got.State == string(gateway.ConfigApplied) && got.Hash == want.Hash
	return &ConfigInfo{Desired: want.Ver, Reported: got.Ver, State: got.State, Drift: !applied}
}

// Count gives of how many of these gateways it is so.
func (d *Drift) Count(fleet map[string]bool, which func(ConfigInfo) bool) (n int) {
	d.mu.Lock()
	ids := make([]string, 0, len(d.desired))
	for id := range d.desired {
		ids = append(ids, id)
	}
	d.mu.Unlock()
	for _, id := range ids {
		if c := d.Of(id); c != nil && fleet[id] && which(*c) {
			n++
		}
	}
	return n
}
