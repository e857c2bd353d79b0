package main

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"reflect"
	"testing"
)

// Every key of the configuration is read by this program, which alone uses it:
// one that is only checked would promise something that does not happen.
func TestEveryKeyOfTheConfigurationIsRead(t *testing.T) {
	const path = module + "/gateway/config"
	cfg, _ := typed(t, "../../gateway/config", path, nil)
	_, read := typed(t, ".", module+"/cmd/fieldgate", cfg)
	readByConfig := map[string]string{"Config.Version": "Load refuses another one"}
	keys := 0
	for _, name := range cfg.Scope().Names() {
		table, ok := cfg.Scope().Lookup(name).Type().Underlying().(*types.Struct)
		if !ok {
			continue
		}
		for i := range table.NumFields() {
			if reflect.StructTag(table.Tag(i)).Get("toml") == "" {
				continue
			}
			keys++
			if what := name + "." + table.Field(i).Name(); !read[table.Field(i)] && readByConfig[what] == "" {
				t.Errorf("nothing reads %s: who sets that key believes that it does something", what)
			}
		}
	}
	if keys < 40 {
		t.Errorf("saw only %d keys", keys)
	}
}

// typed checks the types of a folder's sources as far as they lead to
// configuration, and gives the fields that they read. Other packages are left
// empty, and what is missed in them does not matter.
func typed(t *testing.T, dir, path string, known *types.Package) (*types.Package, map[*types.Var]bool) {
	t.Helper()
	p, err := build.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(set, filepath.Join(dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}}
	conf := types.Config{Importer: onlyKnown{known}, Error: func(error) {}}
	pkg, _ := conf.Check(path, set, files, info) // errors: see above
	written, read := map[ast.Expr]bool{}, map[*types.Var]bool{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok {
				for _, left := range a.Lhs {
					written[left] = true
				}
			}
			return true
		})
	}
	for at, s := range info.Selections {
		if v, ok := s.Obj().(*types.Var); ok && !written[at] {
			read[v] = true
		}
	}
	return pkg, read
}

// onlyKnown imports one package, and nothing in the place of all others.
type onlyKnown struct{ pkg *types.Package }

func (o onlyKnown) Import(path string) (*types.Package, error) {
	if o.pkg != nil && o.pkg.Path() == path {
		return o.pkg, nil
	}
	fake := types.NewPackage(path, filepath.Base(path))
	fake.MarkComplete()
	return fake, nil
}
