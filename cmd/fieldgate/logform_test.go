package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// properNames are the words with a capital letter that a message may begin with.
var properNames = []string{"PostgreSQL", "NATS", "JetStream", "SIGHUP"}

// Every line of the log of every package has one form: the message begins with
// a small letter and has no full stop, and an error stands under "error".
func TestLogLinesHaveOneForm(t *testing.T) {
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") && name != "..") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines, faults := logFaults(t, path, string(text))
		found += lines
		for _, fault := range faults {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 100 {
		t.Errorf("found only %d lines of the log; the test does not see them", found)
	}
}

func TestLogLinesInAnotherFormAreFound(t *testing.T) {
	for line, fault := range map[string]string{
		`log.Warn("the store is full", "error", err)`:           "",
		`d.log.Info("SIGHUP: files are read again")`:            "",
		`x.Error("Not a logger.", "err", err)`:                  "",
		`log.Warn("The store is full")`:                         "capital",
		`s.o.Log.Error("the store is full.")`:                   "full stop",
		`s.opt.Logger.Info("it was full. It is not any more")`:  "full stop",
		`u.log.Debug("a try failed", "n", 3, "err", err)`:       `"err"`,
		`slog.Warn("Full")`:                                     "capital",
		`d.log.InfoContext(ctx, "Full")`:                        "capital",
		`x.log.Log(ctx, level, "Full")`:                         "capital",
		`log.Info("a command " + id + ".")`:                     "full stop",
		`log.With("err", err).Info("full")`:                     `"err"`,
		`x.remark(slog.LevelWarn, "Message refused")`:           "capital",
		`s.audit("refused", id, "An enrolment was refused", x)`: "capital",
	} {
		_, faults := logFaults(t, "line.go", "package p\nfunc f() { "+line+" }\n")
		if text := strings.Join(faults, "\n"); (text != "") != (fault != "") || !strings.Contains(text, fault) {
			t.Errorf("of %s the test says %q, want %q", line, text, fault)
		}
	}
}

// messageAt says which argument of a call of a logger is the message.
var messageAt = map[string]int{
	"Debug": 0, "Info": 0, "Warn": 0, "Error": 0, "DebugContext": 1, "InfoContext": 1, "WarnContext": 1, "ErrorContext": 1,
	"Log": 2, "LogAttrs": 2, "With": -1,
}

// ownMessageAt does so for functions of this module that pass a line on.
var ownMessageAt = map[string]int{"remark": 1, "audit": 2}

// logFaults counts the lines that a file logs, and says what is wrong with them.
func logFaults(t *testing.T, path, text string) (lines int, faults []string) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		at, ok := logCall(call)
		if !ok || at >= len(call.Args) {
			return true
		}
		lines++
		if at >= 0 {
			faults = append(faults, messageFaults(files.Position(call.Pos()), call.Args[at])...)
		}
		for _, a := range call.Args[at+1:] {
			if text, ok := literal(a); ok && text == "err" {
				faults = append(faults, fmt.Sprintf(`%s: the key of an error is "error", not "err"`, files.Position(a.Pos())))
			}
		}
		return true
	})
	return lines, faults
}

// logCall tells whether a call writes a line to the log, and which of its
// arguments is the message; -1: none.
func logCall(call *ast.CallExpr) (at int, ok bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return 0, false
	}
	if at, ok = ownMessageAt[method.Sel.Name]; ok {
		return at, true
	}
	if at, ok = messageAt[method.Sel.Name]; !ok {
		return 0, false
	}
	receiver := method.X
	if inner, chained := receiver.(*ast.CallExpr); chained { // log.With(…).Info(…)
		_, ok = logCall(inner)
		return at, ok
	}
	name := ""
	switch x := receiver.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	switch name {
	case "log", "Log", "logger", "Logger", "slog":
		return at, true
	}
	return 0, false
}

// messageFaults looks at what of a message stands in the source.
func messageFaults(at token.Position, message ast.Expr) (faults []string) {
	first, last := message, message
	for b, ok := first.(*ast.BinaryExpr); ok; b, ok = first.(*ast.BinaryExpr) {
		first = b.X
	}
	if b, ok := last.(*ast.BinaryExpr); ok { // a + b + c is (a + b) + c
		last = b.Y
	}
	if text, ok := literal(first); ok {
		if r, _ := utf8.DecodeRuneInString(text); unicode.IsUpper(r) && !proper(text) {
			faults = append(faults, fmt.Sprintf("%s: the message begins with a capital letter: %q", at, text))
		}
	}
	ast.Inspect(message, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok {
			text, _ := literal(lit)
			if end := lit == last && strings.HasSuffix(text, "."); end || strings.Contains(text, ". ") {
				faults = append(faults, fmt.Sprintf("%s: the message has a full stop: %q", at, text))
			}
		}
		return true
	})
	return faults
}

func proper(text string) bool {
	for _, name := range properNames {
		if strings.HasPrefix(text, name) {
			return true
		}
	}
	return false
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}
