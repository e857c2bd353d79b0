package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// documents gives the README and what it leads to, by their paths from here.
func documents(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("../../packaging/doc/*.md")
	if err != nil || len(list) < 9 {
		t.Fatalf("there are only %q: %v", list, err)
	}
	return append([]string{"../../README.md"}, list...)
}

func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every command in a block of the documents is run by a test: the first block of the README by TestDemo (make run) and
// by whoever runs this (make test), the second on the emulated Pi, that of install.md here.
func TestREADMECommandsAreThoseThatTestsRun(t *testing.T) {
	var blocks []string
	for _, path := range documents(t) {
		blocks = append(blocks, e2e.Blocks(t, path, "sh")...)
	}
	if len(blocks) != 3 || blocks[0] != "make run\nmake test\n" || !strings.HasPrefix(blocks[1], "sudo apt install ./fieldgate_") ||
		!strings.HasPrefix(blocks[2], "fieldgate-cloud gateway add") {
		t.Fatalf("the documents have other commands than those that tests run: %q", blocks)
	}
	commands := strings.Split(strings.TrimSpace(blocks[2]), "\n")
	if len(commands) != 2 {
		t.Fatalf("commands for the cloud: %q", commands)
	}
	program, err := cloudProgramPath()
	if err != nil {
		t.Fatal(err)
	}
	shell := func(command string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", "exec "+strings.Replace(command, "127.0.0.1:8443", e2e.FreeAddr(t), 1))
		cmd.Dir = filepath.Dir(program)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
		return cmd
	}
	token, err := shell(commands[0]).Output()
	if err != nil || !strings.HasPrefix(string(token), "fg1_plant-7_") {
		t.Errorf("%s: %v, prints %q", commands[0], err, token)
	}
	server := shell(commands[1])
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, bufio.NewScanner(stderr), "listening on")
	_ = server.Process.Signal(syscall.SIGTERM)
	_, _ = io.Copy(io.Discard, stderr)
	if err := server.Wait(); err != nil {
		t.Errorf("%s: %v", commands[1], err)
	}
}

// The configurations in the documents, and the one that the package ships, are
// good ones.
func TestShownConfigurationsAreValid(t *testing.T) {
	seen := 0
	for _, path := range documents(t) {
		for _, block := range e2e.Blocks(t, path, "toml") {
			seen++
			if !strings.HasPrefix(block, "version") {
				block = "version = 1\n" + block
			}
			file := write(t, filepath.Join(t.TempDir(), "shown.toml"), block)
			if code, _, errs := outcome(t, "check", file); code != cli.ExitOK {
				t.Errorf("the configuration in %s: exit %d\n%s", path, code, errs)
			}
		}
	}
	if seen < 2 {
		t.Errorf("saw %d configurations", seen)
	}
	if code, _, errs := outcome(t, "check", "../../packaging/fieldgate.toml"); code != cli.ExitOK {
		t.Errorf("the shipped configuration: exit %d\n%s", code, errs)
	}
}

var (
	inline   = regexp.MustCompile("`([^`\n]+)`")
	linked   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)
	fenced   = regexp.MustCompile("(?ms)^```.*?^```$")
)

// commandsIn gives the command lines of a program that stand between backticks
// in the documents.
func commandsIn(t *testing.T, program string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, path := range documents(t) {
		for _, m := range inline.FindAllStringSubmatch(fenced.ReplaceAllString(document(t, path), ""), -1) {
			line := strings.TrimPrefix(strings.TrimPrefix(m[1], "sudo "), "-u fieldgate-cloud ")
			if rest, is := strings.CutPrefix(line, program+" "); is {
				found[rest] = path
			}
		}
	}
	return found
}

// Each command line that a document names is one that the program understands.
func TestCommandsInDocumentsAreUnderstood(t *testing.T) {
	found := commandsIn(t, "fieldgate")
	if len(found) < 8 {
		t.Errorf("saw only %q", found)
	}
	for line, path := range found {
		parser, err := kong.New(&commands{}, kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard), kong.ValueFormatter(cli.Help))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(strings.Fields(line)); err != nil && line != "buffer export" {
			t.Errorf("%s: fieldgate %s: %v", path, line, err)
		}
	}
}

// Every link leads to a file of the repository, and to a heading in it.
func TestREADMELinksLeadSomewhere(t *testing.T) {
	seen := 0
	for _, path := range documents(t) {
		for _, m := range linked.FindAllStringSubmatch(document(t, path), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			seen++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			} else if anchor != "" && !anchors(document(t, target))[anchor] {
				t.Errorf("%s links to %s, where there is no such heading", path, m[1])
			}
		}
	}
	if seen < 20 {
		t.Errorf("saw only %d links", seen)
	}
}

// anchors gives the headings as links name them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all[strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

// What a person reads first is short, and so are the sentences of every
// document that is written by hand.
func TestREADMEIsShort(t *testing.T) {
	if n := strings.Count(document(t, "../../README.md"), "\n"); n > 150 {
		t.Errorf("the README has %d lines, at most 150 are read", n)
	}
	for _, path := range documents(t) {
		text := document(t, path)
		words, sentences := prose(text)
		if mean := float64(words) / float64(max(sentences, 1)); mean > 16 {
			t.Errorf("%s: a sentence has %.1f words on average, at most 16", path, mean)
		}
		for line := range strings.Lines(text) {
			for _, cell := range strings.Split(line, "|") {
				if strings.HasPrefix(line, "|") && len(cell) > 250 {
					t.Errorf("%s: a cell of %d characters: %s", path, len(cell), cell)
				}
			}
		}
	}
}

var (
	sentenceEnd = regexp.MustCompile(`[.!?:](\s|$)`)
	target      = regexp.MustCompile(`\]\([^)]*\)`)
)

// prose counts the words and sentences outside of blocks, tables and headings.
// A colon ends a sentence, too: what follows is read by itself. So does the end
// of a paragraph or of an element of a list.
func prose(text string) (words, sentences int) {
	var kept []string
	for line := range strings.Lines(target.ReplaceAllString(fenced.ReplaceAllString(text, ""), "]")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "|") || strings.HasPrefix(line, "!") {
			line = ""
		}
		if strings.HasPrefix(line, "- ") {
			kept = append(kept, "")
		}
		kept = append(kept, line)
	}
	for _, paragraph := range strings.Split(strings.Join(kept, "\n"), "\n\n") {
		for _, s := range sentenceEnd.Split(paragraph, -1) {
			if n := len(strings.Fields(s)); n > 1 {
				words, sentences = words+n, sentences+1
			}
		}
	}
	return words, sentences
}

// raised finds the code of a condition where it is raised, or where its name is
// made.
var raised = regexp.MustCompile(`(?:\.Raise\(|[cC]o(?:de|ndition)[A-Z]?\w*\s*=\s*|state, code, advice :?= \w+, )` +
	`"((?:sensor|bus|store|uplink|local|control|certificate)_[a-z_]+)"`)

// Everything that can be wrong with a gateway is explained in dashboard.md, and
// nothing else.
func TestConditionsAreExplained(t *testing.T) {
	text := document(t, "../../packaging/doc/dashboard.md")
	seen := map[string]bool{}
	for _, dir := range []string{"../../gateway/*/*.go", "../../store/*.go", "../../uplink/*.go", "*.go"} {
		files, err := filepath.Glob(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range raised.FindAllStringSubmatch(document(t, file), -1) {
				if !strings.Contains(text, "`"+m[1]+"`") && !seen[m[1]] {
					t.Errorf("dashboard.md does not explain the condition %s (%s)", m[1], file)
				}
				seen[m[1]] = true
			}
		}
	}
	named := regexp.MustCompile("`((?:sensor|bus|store|uplink|local|control|certificate)_[a-z_]+)`").FindAllStringSubmatch(text, -1)
	for _, m := range named {
		if !seen[m[1]] {
			t.Errorf("dashboard.md explains the condition %s, which nothing raises", m[1])
		}
	}
	if len(seen) < 25 {
		t.Errorf("saw only %d conditions", len(seen))
	}
}

// Every package, or the folder that it is in, is on the map.
func TestPackagesAreOnTheMap(t *testing.T) {
	text := document(t, "../../packaging/doc/house.md")
	for room := range packages(t) {
		on := false
		for at := room; at != "."; at = filepath.Dir(at) {
			on = on || strings.Contains(text, "`"+at+"`")
		}
		if !on {
			t.Errorf("house.md does not have the package %s", room)
		}
	}
}

// Every file that a walk through the code names is there, and each walk says
// how many it names.
func TestHouseDocumentNamesFiles(t *testing.T) {
	_, text, _ := strings.Cut(document(t, "../../packaging/doc/house.md"), "\n## Walks\n")
	step := regexp.MustCompile("(?m)^[0-9]+\\. `([^`]+)`")
	count := regexp.MustCompile(`\*\*([0-9]+) (?:files|more)`)
	ledger := regexp.MustCompile(`the ([0-9]+) of the ledger`)
	walks := strings.Split(text, "\n### ")[1:]
	for _, walk := range walks {
		title, _, _ := strings.Cut(walk, "\n")
		steps, said := step.FindAllStringSubmatch(walk, -1), 0
		for _, m := range steps {
			if _, err := os.Stat("../../" + m[1]); err != nil {
				t.Errorf("%s: %v", title, err)
			}
		}
		for _, m := range count.FindAllStringSubmatch(walk, -1) {
			n, _ := strconv.Atoi(m[1])
			said += n
		}
		if m := ledger.FindStringSubmatch(walk); m != nil {
			n, _ := strconv.Atoi(m[1])
			said -= n
		}
		if len(steps) < 3 || said != len(steps) {
			t.Errorf("%s: it names %d files, and says %d", title, len(steps), said)
		}
	}
	if len(walks) < 6 {
		t.Errorf("saw only %d walks", len(walks))
	}
}
