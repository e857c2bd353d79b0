package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Load reads the file at path and then conf.d/*.toml beside it, in the order
// of their names. These may set what the file leaves open and add devices.
// What is wrong with the contents is a Problems, all of it at once; any other
// error means that a file could not be read. Load touches no hardware and none
// of the files that the configuration names.
func Load(path string, table []Driver) (*Config, error) {
	more, err := filepath.Glob(filepath.Join(filepath.Dir(path), "conf.d", "*.toml"))
	if err != nil {
		return nil, fmt.Errorf("list conf.d beside %s: %w", path, err)
	}
	var files []*source
	for i, name := range append([]string{path}, more...) {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		files = append(files, &source{name: name, order: i, data: data})
	}
	return parse(files, table)
}

// Default is the configuration that an empty file would give, had it a
// version: every default, no device.
func Default() *Config {
	cfg := &Config{Version: 1}
	setDefaults(reflect.ValueOf(cfg).Elem())
	return cfg
}

// parse does the work of Load. files is not empty.
func parse(files []*source, table []Driver) (*Config, error) {
	col := &collector{}
	cfg, _ := build(files, table, col)
	if ps := col.problems(); ps != nil {
		return nil, ps
	}
	return cfg, nil
}

// build makes the configuration of the files, and gives the tree of what they
// say too. It counts for nothing if col has problems.
func build(files []*source, table []Driver, col *collector) (*Config, *node) {
	root := readTree(files[0], col)
	for _, f := range files[1:] {
		root.merge(readTree(f, col), "", col)
	}
	cfg := Default()
	d := &decoder{col: col}
	known := d.fields(root, "", reflect.ValueOf(cfg).Elem())
	d.unknown(root, "", append(known, "device"))
	d.uplink(root)
	if v := root.table["version"]; v == nil {
		col.add(root.at, "version", "this key is missing: write version = 1")
	} else if v.kind == unstable.Integer && cfg.Version != 1 {
		col.add(v.at, "version", "this program reads version 1 only, not %s", v.text)
	}
	(&deviceReader{decoder: d, table: table, cfg: cfg}).read(root)
	return cfg, root
}

// DerivedID gives the id of a gateway whose configuration sets none: a hash of
// root/etc/machine-id, which itself must stay secret (machine-id(5)). root is
// "/" in life.
func DerivedID(root string) (string, error) {
	path := filepath.Join(root, "etc/machine-id")
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("derive the gateway's id: %w; set id in [gateway]", err)
	}
	id := strings.TrimSpace(string(raw))
	if len(id) != 32 {
		return "", fmt.Errorf("derive the gateway's id: %s holds no machine id; set id in [gateway]", path)
	}
	sum := sha256.Sum256([]byte("fieldgate gateway id\n" + id))
	return "gw-" + hex.EncodeToString(sum[:6]), nil
}
