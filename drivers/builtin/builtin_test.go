package builtin_test

import (
	"os"
	"path"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
)

// Every driver passes the suite, its table among it, with its defaults.
func TestEveryDriver(t *testing.T) {
	for _, d := range builtin.Drivers() {
		if d.Open != nil {
			t.Run(d.Name, func(t *testing.T) { drivertest.Run(t, drivertest.Case{Driver: d}) })
		}
	}
}

// A lie that the suite cannot tell by itself has a test in the driver's
// package.
func TestEveryLieHasATest(t *testing.T) {
	for _, d := range builtin.Drivers() {
		for _, l := range d.Lies {
			if l.Test != "" && !hasTest(t, folder(d), l.Test) {
				t.Errorf("%s: lie %q has no test %s in %s", d.Name, l.Name, l.Test, folder(d))
			}
		}
	}
}

// folder gives the folder of a driver's package.
func folder(d drivers.Driver) string {
	open := reflect.ValueOf(d.Open).Pointer()
	if d.Open == nil {
		open = reflect.ValueOf(d.OpenOutput).Pointer()
	}
	pkg := path.Base(runtime.FuncForPC(open).Name()) // "lm75.open"
	pkg, _, _ = strings.Cut(pkg, ".")
	return filepath.Join("..", pkg)
}

func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("tests in %s: %v, %v", folder, files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}

func TestLiesAreLookedFor(t *testing.T) {
	for _, d := range builtin.Drivers() {
		if d.Name == "lm75" && (!hasTest(t, folder(d), "TestSuite") || hasTest(t, folder(d), "TestThatIsNotThere")) {
			t.Error("tests of a package are not found, or found where there are none")
		}
	}
}

func TestNamesAreUniqueAndSorted(t *testing.T) {
	all := builtin.Drivers()
	if !slices.IsSortedFunc(all, func(a, b drivers.Driver) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not in the order of names")
	}
	for i, d := range all[1:] {
		if d.Name == all[i].Name {
			t.Errorf("%s is there twice", d.Name)
		}
	}
}
