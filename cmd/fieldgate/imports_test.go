package main

import (
	"go/build"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fieldgate/fieldgate"

// allowed says which packages of this module each package may import. A
// package that is missing here, or an import that is not listed, fails the
// test: the arrows are a decision, not an accident.
var allowed = map[string][]string{
	"cmd/cli": {"systemd"},
	"cmd/fieldgate": {"cmd/cli", "drivers", "drivers/builtin", "drivers/linux", "drivers/scan", "drivers/sim",
		"gateway", "gateway/clock", "gateway/command", "gateway/config", "gateway/control", "gateway/files",
		"gateway/health", "gateway/lines", "gateway/live",
		"gateway/local", "gateway/local/dashboard", "gateway/netwatch", "gateway/pipeline", "gateway/remoteconfig", "gateway/sample",
		"packaging/bench/plant", "store", "systemd", "uplink", "uplink/identity", "uplink/proxy", "uplink/wire"},
	"packaging/e2e":         {},
	"packaging/bench/plant": {"gateway"},
	"packaging/bench":       {"gateway", "gateway/health", "packaging/bench/plant", "store", "store/block", "uplink/wire"},
	"cmd/fieldgate-cloud": {"cmd/cli", "gateway", "gateway/files", "systemd", "uplink/cloud",
		"uplink/cloud/jetstream", "uplink/cloud/keyring", "uplink/cloud/postgres", "uplink/cloud/record"},
	"drivers":                 {},
	"drivers/drivertest":      {"drivers", "drivers/sim"},
	"drivers/linux":           {"drivers"},
	"drivers/sensirion":       {"drivers"},
	"drivers/scan":            {"drivers", "drivers/sysfs"},
	"drivers/sim":             {"drivers"},
	"drivers/sysfs":           {"drivers"},
	"gateway":                 {},
	"gateway/clock":           {"gateway"},
	"gateway/command":         {"gateway"},
	"gateway/durable":         {},
	"gateway/files":           {},
	"gateway/conflate":        {},
	"gateway/config":          {"drivers", "gateway", "gateway/files"},
	"gateway/control":         {"gateway/health"},
	"gateway/health":          {},
	"gateway/lines":           {"gateway"},
	"gateway/live":            {"gateway", "gateway/conflate"},
	"gateway/local":           {"gateway", "gateway/health", "gateway/live", "gateway/local/dashboard", "uplink/rfc6455"},
	"gateway/local/dashboard": {},
	"gateway/netwatch":        {},
	"gateway/output":          {"drivers", "gateway", "gateway/health"},
	"gateway/pipeline":        {"gateway", "gateway/health"},
	"gateway/remoteconfig":    {"gateway", "gateway/durable", "gateway/files"},
	"gateway/sample":          {"drivers", "gateway", "gateway/health"},
	"gateway/timelinetest":    {"gateway"},
	"packaging/cloud":         {},
	"packaging/pi":            {},
	"store":                   {"gateway", "gateway/durable", "gateway/files", "gateway/health", "store/block"},
	"store/block":             {"gateway"},
	"store/storetest":         {"gateway", "store", "store/block"},
	"systemd":                 {},
	"uplink":                  {"gateway", "gateway/health", "store/block", "uplink/proxy", "uplink/rfc6455", "uplink/wire"},
	"uplink/cloud": {"gateway", "gateway/files", "gateway/lines", "store/block", "uplink/cloud/command", "uplink/cloud/export",
		"uplink/cloud/fleet", "uplink/cloud/keyring", "uplink/cloud/ledger", "uplink/cloud/live", "uplink/cloud/quiet",
		"uplink/cloud/record", "uplink/rfc6455", "uplink/wire"},
	"uplink/cloud/cloudtest": {"gateway", "store/block", "uplink/cloud/record", "uplink/wire"},
	"uplink/cloud/command":   {"gateway", "uplink/cloud/record", "uplink/wire"},
	"uplink/cloud/export":    {"gateway", "gateway/lines", "store/block", "uplink/cloud/ledger", "uplink/cloud/record", "uplink/wire"},
	"uplink/cloud/fleet":     {"gateway", "store/block", "uplink/cloud/ledger", "uplink/cloud/record", "uplink/wire"},
	"uplink/cloud/keyring":   {"gateway", "gateway/durable", "gateway/files", "uplink/cloud/record"},
	"uplink/proxy":           {"gateway"},
	"uplink/cloud/live": {"gateway", "gateway/conflate", "gateway/lines", "store/block", "uplink/cloud/ledger",
		"uplink/cloud/record", "uplink/rfc6455", "uplink/wire"},
	"uplink/cloud/natstest":  {},
	"uplink/cloud/quiet":     {},
	"uplink/cloud/record":    {"gateway", "store/block", "uplink/wire"},
	"uplink/cloud/jetstream": {"gateway", "gateway/files", "uplink/cloud/record", "uplink/wire"},
	"uplink/cloud/ledger":    {"gateway", "gateway/lines", "uplink/cloud/record", "uplink/wire"},
	"uplink/cloud/model":     {},
	"uplink/cloud/postgres":  {"gateway", "gateway/files", "store/block", "uplink/cloud/record", "uplink/wire"},
	"uplink/identity":        {"gateway/durable", "gateway/files"},
	"uplink/rfc6455":         {},
	"uplink/uplinktest":      {"gateway", "store/block", "uplink/wire"},
	"uplink/wire":            {"gateway"},
}

// onlyIn names the packages that alone may use a library.
var onlyIn = map[string][]string{
	"github.com/alecthomas/kong":        {"cmd/cli", "packaging/e2e"},
	"github.com/nats-io":                {"uplink/cloud/jetstream", "uplink/cloud/natstest"},
	"github.com/jackc/pgx":              {"uplink/cloud/postgres"},
	"github.com/warthog618/go-gpiocdev": {"drivers/linux"},
	"periph.io/x/host":                  {"drivers/linux"},
	"go.etcd.io/bbolt":                  {"store"},
	"github.com/pelletier/go-toml":      {"gateway/config"},
	"github.com/fxamacker/cbor":         {"store/block", "store", "uplink/wire", "uplink/cloud"},
	"github.com/klauspost/compress":     {"store/block"},
	"github.com/gorilla/websocket": {"packaging/bench", "packaging/e2e", "gateway/local", "uplink", "uplink/cloud",
		"uplink/cloud/live", "uplink/uplinktest"},
	"github.com/coreos/go-systemd":       {"systemd"},
	"github.com/VictoriaMetrics/metrics": {"uplink/cloud"},
}

// A driver has no row: it may import these alone, and the list of drivers may
// import every driver.
var driverMay = []string{"drivers", "drivers/sensirion", "drivers/sysfs"}

func TestImportsAreInTheTable(t *testing.T) {
	all := packages(t)
	for pkg, imports := range all {
		listed, known := allowed[pkg]
		switch {
		case known:
		case pkg == "drivers/builtin":
			listed, known = append(slices.Collect(maps.Keys(all)), driverMay...), true
			listed = slices.DeleteFunc(listed, func(p string) bool { return allowed[p] != nil && !slices.Contains(driverMay, p) })
		case strings.HasPrefix(pkg, "drivers/"):
			listed, known = driverMay, true
		}
		if !known {
			t.Errorf("package %s has no row in the table of imports", pkg)
			continue
		}
		for _, path := range imports {
			if inner, ok := strings.CutPrefix(path, module+"/"); ok && !slices.Contains(listed, inner) {
				t.Errorf("%s imports %s", pkg, inner)
			}
			for library, users := range onlyIn {
				if strings.HasPrefix(path, library) && !slices.Contains(users, pkg) {
					t.Errorf("%s uses %s, which belongs to %v alone", pkg, path, users)
				}
			}
		}
	}
}

// packages gives the imports of every package of this module, tests left out.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != "../.." {
			return fs.SkipDir // a module of its own: tools
		}
		if name := d.Name(); name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") && name != ".." {
			return fs.SkipDir
		}
		p, err := build.ImportDir(absolute(t, path), 0)
		if err != nil {
			return nil // no Go files here
		}
		pkg, err := filepath.Rel("../..", path)
		found[filepath.ToSlash(pkg)] = p.Imports
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Fatalf("found only %d packages; the walk does not see the module", len(found))
	}
	return found
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// The device binary must not carry the cloud's engine nor test helpers. The
// sources are followed here, in this process, through the module cache:
// asking `go list` instead is answered from the test cache on a broken tree.
func TestImportsOfTheDeviceBinary(t *testing.T) {
	forbidden := []string{"github.com/nats-io/", "testing", "net/http/httptest", "github.com/jackc/pgx",
		module + "/uplink/cloud", module + "/uplink/uplinktest",
		"github.com/VictoriaMetrics/metrics"} // it logs when a program starts, on a board whose kernel has PSI off
	finder := newFinder(t)
	for pkg, through := range finder.linked(module + "/cmd/fieldgate") {
		for _, bad := range forbidden {
			if pkg == bad || strings.HasPrefix(pkg, strings.TrimSuffix(bad, "/")+"/") {
				t.Errorf("the device binary links %s, through %s", pkg, through)
			}
		}
	}
}

// A program has few modules of others at run time, the indirect ones counted.
func TestModulesOfTheBinaries(t *testing.T) {
	finder := newFinder(t)
	for program, limit := range map[string]int{"cmd/fieldgate": 20, "cmd/fieldgate-cloud": 24} {
		modules := map[string]bool{}
		for pkg := range finder.linked(module + "/" + program) {
			if path, _ := finder.module(pkg); path != "" && path != module {
				modules[path] = true
			}
		}
		all := slices.Sorted(maps.Keys(modules))
		t.Logf("%s has %d: %s", program, len(all), strings.Join(all, " "))
		if len(all) < 5 || len(all) > limit {
			t.Errorf("%s has %d modules, want at most %d", program, len(all), limit)
		}
	}
}

// A finder finds the folder of a package of this module or of one that go.mod
// requires.
type finder struct {
	t     *testing.T
	cache string
	dirs  map[string]string // module path -> folder
}

func newFinder(t *testing.T) *finder {
	t.Helper()
	cache := os.Getenv("GOMODCACHE")
	if cache == "" {
		cache = filepath.Join(build.Default.GOPATH, "pkg", "mod")
	}
	f := &finder{t: t, cache: cache, dirs: map[string]string{module: absolute(t, "../..")}}
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(words) >= 2 && strings.Contains(words[0], ".") && strings.HasPrefix(words[1], "v") {
			f.dirs[words[0]] = filepath.Join(cache, escape(words[0])+"@"+escape(words[1]))
		}
	}
	return f
}

// escape writes capitals as the module cache does: !c for C.
func escape(path string) string {
	var b strings.Builder
	for _, r := range path {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('!')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// imports gives what a package imports; nothing for the standard library,
// which does not import what is forbidden here.
func (f *finder) imports(pkg string) []string {
	first, _, _ := strings.Cut(pkg, "/")
	if !strings.Contains(first, ".") {
		return nil
	}
	path, dir := f.module(pkg)
	if path == "" {
		f.t.Fatalf("no module in go.mod provides %s", pkg)
	}
	p, err := build.ImportDir(filepath.Join(dir, strings.TrimPrefix(pkg, path)), 0)
	if err != nil {
		f.t.Fatalf("read %s: %v", pkg, err)
	}
	return p.Imports
}

// module gives the path and the folder of a package's module; none for the
// standard library.
func (f *finder) module(pkg string) (path, dir string) {
	for path = pkg; path != "."; path = filepath.Dir(path) {
		if dir, ok := f.dirs[path]; ok {
			return path, dir
		}
	}
	return "", ""
}

// linked gives every package that a program links, with one that imports it.
func (f *finder) linked(program string) map[string]string {
	from := map[string]string{program: ""}
	for queue := []string{program}; len(queue) > 0; {
		pkg := queue[0]
		queue = queue[1:]
		for _, next := range f.imports(pkg) {
			if _, seen := from[next]; !seen {
				from[next] = pkg
				queue = append(queue, next)
			}
		}
	}
	if len(from) < 50 {
		f.t.Fatalf("followed only %d packages of %s", len(from), program)
	}
	return from
}
