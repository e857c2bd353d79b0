package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway/files"
)

// Load reads the file at path and then conf.d/*.toml beside it, in the order
// of their names. These may set what the file leaves open and add devices.
// What is wrong with the contents is a Problems, all of it at once; any other
// error means that a file could not be read. Load touches no hardware and none
// of the files that the configuration names.
func Load(path string, table []drivers.Driver) (*Config, error) {
	col := &collector{}
	main := &source{name: path}
	more, err := besides(main, col)
	if err != nil {
		return nil, fmt.Errorf("list conf.d beside %s: %w", path, err)
	}
	sources, left := []*source{main}, int64(filesMost)
	for i, name := range more {
		sources = append(sources, &source{name: name, order: i + 1})
	}
	for _, f := range sources {
		err := f.read(left)
		switch {
		case errors.Is(err, files.ErrKind) || errors.Is(err, files.ErrSize) || errors.Is(err, files.ErrText) || errors.Is(err, files.ErrLink):
			col.whole(f, err.Error())
		case err != nil:
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		left -= int64(len(f.data))
	}
	return parse(sources, table, col)
}

// filesMost is what all files of a configuration may have together, in bytes:
// some hundred times what a board with many devices needs.
const filesMost = 4 << 20

// read takes the contents of a file, at most left bytes.
func (f *source) read(left int64) (err error) {
	f.data, err = files.Text(f.name, left)
	return err
}

// besides gives the files of conf.d that count, in the order of their names.
// Hidden ones do not: editors, macOS and network shares leave them beside what
// people write. What looks as if it should count and does not is a note.
func besides(main *source, col *collector) ([]string, error) {
	dir := filepath.Join(filepath.Dir(main.name), "conf.d")
	entries, err := os.ReadDir(dir)
	if _, lerr := os.Lstat(dir); errors.Is(lerr, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		switch ext := filepath.Ext(name); {
		case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~$") || strings.HasPrefix(name, "#"):
		case ext == ".toml":
			names = append(names, filepath.Join(dir, name))
		case strings.EqualFold(ext, ".toml"):
			col.note(place{main, 0}, "conf.d", fmt.Sprintf("%s is not read: only names that end in .toml are", filepath.Join(dir, name)))
		}
	}
	return names, nil
}

// Default is the configuration that an empty file would give, had it a
// version: every default, no device.
func Default() *Config {
	cfg := &Config{Version: 1}
	setDefaults(reflect.ValueOf(cfg).Elem())
	return cfg
}

// parse does the work of Load. sources is not empty.
func parse(sources []*source, table []drivers.Driver, col *collector) (*Config, error) {
	cfg, _ := build(sources, table, col)
	if ps := col.problems(); ps != nil {
		return nil, ps
	}
	cfg.Notes = sorted(col.notes)
	return cfg, nil
}

// build makes the configuration of the files, and gives the tree of what they
// say too. It counts for nothing if col has problems.
func build(sources []*source, table []drivers.Driver, col *collector) (*Config, *node) {
	left := valuesMost
	root := readTree(sources[0], col, &left)
	for _, f := range sources[1:] {
		root.merge(readTree(f, col, &left), "", col)
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
	id, err := files.Line(path)
	if err != nil {
		return "", fmt.Errorf("derive the gateway's id: %w; set id in [gateway]", err)
	}
	if len(id) != 32 {
		return "", fmt.Errorf("derive the gateway's id: %s holds no machine id; set id in [gateway]", path)
	}
	sum := sha256.Sum256([]byte("fieldgate gateway id\n" + id))
	return "gw-" + hex.EncodeToString(sum[:6]), nil
}
