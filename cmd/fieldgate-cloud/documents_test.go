package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/fieldgate/fieldgate/cmd/cli"
)

func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each command line of this program that a document names is one that it
// understands.
func TestCommandsInDocumentsAreUnderstood(t *testing.T) {
	files, err := filepath.Glob("../../packaging/doc/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, path := range append(files, "../../README.md") {
		for _, m := range regexp.MustCompile("`(?:sudo -u fieldgate-cloud )?fieldgate-cloud ([^`\n]+)`").
			FindAllStringSubmatch(document(t, path), -1) {
			seen++
			parser, err := kong.New(&commands{}, kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard), kong.ValueFormatter(cli.Help))
			if err != nil {
				t.Fatal(err)
			}
			args := strings.Fields(m[1])
			if args[0] == "run" { // its other flags are said before
				args = append(args, "--state", "STATE", "--listen", ":8443")
			}
			if _, err := parser.Parse(args); err != nil {
				t.Errorf("%s: fieldgate-cloud %s: %v", path, m[1], err)
			}
		}
	}
	if seen < 10 {
		t.Errorf("saw only %d", seen)
	}
}

// api.md has every route of the server and no other, and every metric.
func TestTheAPIIsDescribed(t *testing.T) {
	text := document(t, "../../packaging/doc/api.md")
	_, text, found := strings.Cut(text, "## The API of the cloud")
	if !found {
		t.Fatal("api.md does not speak of the cloud")
	}
	var served []string
	files, err := filepath.Glob("../../uplink/cloud/*.go")
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile("[\"`]((?:GET|POST|PUT|DELETE) /[^\"`?]*[^\"`?/])[\"`]")
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range pattern.FindAllStringSubmatch(document(t, f), -1) {
			served = append(served, m[1])
		}
	}
	if len(served) < 20 {
		t.Fatalf("only %d routes were found: %q", len(served), served)
	}
	for _, route := range served {
		if !strings.Contains(text, "`"+route+"`") {
			t.Errorf("api.md does not have the route %s", route)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:GET|POST|PUT|DELETE) /[^`]*)`").FindAllStringSubmatch(text, -1) {
		if !slices.Contains(served, m[1]) {
			t.Errorf("api.md has the route %s, which nobody serves", m[1])
		}
	}
	p := start(t, t.TempDir())
	names := regexp.MustCompile(`(?m)^(fieldgate_cloud_\w+?)(?:_bucket|_sum|_count)?[{ ]`).FindAllStringSubmatch(p.asOperator("/metrics"), -1)
	if len(names) < 25 {
		t.Errorf("only %d metrics were found: %q", len(names), names)
	}
	for _, m := range names {
		if !strings.Contains(text, "`"+m[1]+"`") {
			t.Errorf("api.md does not have the metric %s", m[1])
		}
	}
	p.end(syscall.SIGTERM)
}
