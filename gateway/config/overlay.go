package config

import "github.com/fieldgate/fieldgate/drivers"

// Overlay reads a document that came from the cloud and lays it over base,
// what the board's own files say. Each table of the document ([uplink],
// [local]) stands for that table of the files as a whole, and its devices, if
// it has any, for all of theirs; what it does not speak of stays. What belongs
// to the board it may repeat but not change: its id and [store], whose
// settings count from the start of the process. Nor may it take the uplink
// away. The error is as with Load; name stands for the file.
func Overlay(name string, doc []byte, base *Config, table []drivers.Driver) (*Config, error) {
	col := &collector{}
	cfg, root := build([]*source{{name: name, data: doc}}, table, col)
	if n := root.table["gateway"]; n == nil {
		cfg.Gateway = base.Gateway
	} else if cfg.Gateway != base.Gateway {
		col.add(n.at, "gateway", "this differs from the board's own file; it can only be changed there")
	}
	if n := root.table["store"]; n == nil {
		cfg.Store = base.Store
	} else if cfg.Store != base.Store {
		col.add(n.at, "store", "this differs from the board's own file; it can only be changed there, and counts from the next start")
	}
	if n := root.table["uplink"]; n == nil {
		cfg.Uplink = base.Uplink
	} else if cfg.Uplink.URL == "" {
		col.add(n.at, "uplink", "url is missing: a configuration from the cloud must not cut the gateway off")
	}
	if root.table["local"] == nil {
		cfg.Local = base.Local
	}
	if len(cfg.Devices) == 0 {
		cfg.Devices = base.Devices
	}
	if ps := col.problems(); ps != nil {
		return nil, ps
	}
	cfg.Notes = sorted(col.notes)
	return cfg, nil
}
