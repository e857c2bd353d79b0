package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// dashboard.md explains every condition that the daemon raises, as far as its
// code stands as a constant where it is raised.
func TestREADMEConditions(t *testing.T) {
	text := document(t, "../../packaging/doc/dashboard.md")
	codes := conditions(t)
	if len(codes) < 15 {
		t.Fatalf("found only %v", codes)
	}
	for code, where := range codes {
		if !strings.Contains(text, "`"+code+"`") {
			t.Errorf("dashboard.md does not explain the condition %s, raised in %s", code, where)
		}
	}
}

// A raiser collects the codes of conditions, and where they are raised.
type raiser struct {
	codes, constants, named map[string]string
}

// conditions gives the codes that the packages of the daemon raise.
func conditions(t *testing.T) map[string]string {
	t.Helper()
	r := &raiser{map[string]string{}, map[string]string{}, map[string]string{}}
	for _, root := range []string{"../../gateway", "../../store", "../../uplink", "."} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "uplink/cloud") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool { r.look(path, n); return true })
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, path := range r.named {
		if code, ok := r.constants[name]; ok {
			r.codes[code] = path
		}
	}
	return r.codes
}

// look takes note of constants and of calls of Raise.
func (r *raiser) look(path string, n ast.Node) {
	if spec, ok := n.(*ast.ValueSpec); ok {
		for i, v := range spec.Values {
			if s, ok := text(v); ok {
				r.constants[filepath.Dir(path)+spec.Names[i].Name] = s
			}
		}
	}
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) != 4 {
		return
	}
	if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Raise" {
		return
	}
	if s, ok := text(call.Args[0]); ok {
		r.codes[s] = path
	} else if id, ok := call.Args[0].(*ast.Ident); ok {
		r.named[filepath.Dir(path)+id.Name] = path
	}
}

// text gives the value of a string literal.
func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}
