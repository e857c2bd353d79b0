// Command dashboard builds the on-site page: the TypeScript in
// gateway/local/dashboard/src becomes dist/ beside it, which is committed. The
// same sources, lock file and versions give the same bytes.
//
//	go run -C packaging/tools ./dashboard          # write dist/
//	go run -C packaging/tools ./dashboard -check   # fail if dist/ is not what would be written
//
// It needs npm, for the libraries that package-lock.json names; it exits with 3
// when they cannot be had.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	dir := flag.String("dir", "../../gateway/local/dashboard", "folder with src/, package-lock.json and dist/")
	check := flag.Bool("check", false, "compare with dist/ instead of writing it")
	flag.Parse()
	err := run(*dir, *check)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "dashboard:", err)
	if errors.Is(err, errNoLibraries) {
		os.Exit(3)
	}
	os.Exit(1)
}

var errNoLibraries = errors.New("the page's libraries cannot be had")

func run(dir string, check bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find %s: %w", dir, err)
	}
	if err := install(dir); err != nil {
		return err
	}
	files, err := build(dir)
	if err != nil {
		return err
	}
	dist := filepath.Join(dir, "dist")
	if check {
		return compare(dist, files)
	}
	return write(dist, files)
}

// install fetches the libraries that the lock file names and checks the types.
func install(dir string) error {
	if err := npm(dir, "ci", "--ignore-scripts", "--prefer-offline"); err != nil {
		return fmt.Errorf("%w: %w", errNoLibraries, err)
	}
	return npm(dir, "run", "check")
}

func npm(dir string, args ...string) error {
	cmd := exec.Command("npm", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// build gives the files of dist/ by name.
func build(dir string) (map[string][]byte, error) {
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:     dir,
		EntryPoints:       []string{"src/app.tsx", "src/app.css"},
		Outdir:            "dist",
		Bundle:            true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		Format:            api.FormatIIFE,
		Target:            api.ES2020,
		Charset:           api.CharsetUTF8,
		JSX:               api.JSXAutomatic,
		JSXImportSource:   "preact",
		Metafile:          true,
		LogLevel:          api.LogLevelInfo,
	})
	if len(result.Errors) > 0 {
		return nil, errors.New("esbuild found errors")
	}
	files := map[string][]byte{}
	for _, f := range result.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	for _, name := range []string{"index.html", "icon.svg"} {
		b, err := os.ReadFile(filepath.Join(dir, "src", name))
		if err != nil {
			return nil, fmt.Errorf("read page: %w", err)
		}
		files[name] = b
	}
	licenses, err := licensesOf(dir, result.Metafile)
	files["licenses.txt"] = licenses
	return files, err
}

// licensesOf gives the licence texts of the libraries that went into the page.
func licensesOf(dir, metafile string) ([]byte, error) {
	var meta struct{ Inputs map[string]any }
	if err := json.Unmarshal([]byte(metafile), &meta); err != nil {
		return nil, fmt.Errorf("read esbuild's list of inputs: %w", err)
	}
	var packages []string
	for input := range meta.Inputs {
		if name, ok := packageOf(input); ok && !slices.Contains(packages, name) {
			packages = append(packages, name)
		}
	}
	slices.Sort(packages)
	var b bytes.Buffer
	for _, name := range packages {
		text, err := os.ReadFile(filepath.Join(dir, "node_modules", name, "LICENSE"))
		if err != nil {
			return nil, fmt.Errorf("find the licence of %s: %w", name, err)
		}
		fmt.Fprintf(&b, "%s\n\n%s\n\n", name, bytes.TrimSpace(text))
	}
	return b.Bytes(), nil
}

// packageOf gives the library that a bundled file belongs to.
func packageOf(input string) (string, bool) {
	rest, ok := strings.CutPrefix(filepath.ToSlash(input), "node_modules/")
	if !ok {
		return "", false
	}
	parts := strings.SplitN(rest, "/", 3)
	if strings.HasPrefix(rest, "@") {
		return parts[0] + "/" + parts[1], true
	}
	return parts[0], true
}

func write(dist string, files map[string][]byte) error {
	if err := os.RemoveAll(dist); err != nil {
		return fmt.Errorf("clear dist: %w", err)
	}
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return fmt.Errorf("make dist: %w", err)
	}
	total := 0
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dist, name), b, 0o644); err != nil {
			return fmt.Errorf("write page: %w", err)
		}
		if name != "licenses.txt" { // not part of the first load
			total += zipped(b)
		}
	}
	fmt.Printf("dashboard %d bytes gzipped\n", total)
	return nil
}

func compare(dist string, files map[string][]byte) error {
	entries, err := os.ReadDir(dist)
	if err != nil {
		return fmt.Errorf("read dist: %w", err)
	}
	same := len(entries) == len(files)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dist, e.Name()))
		same = same && err == nil && bytes.Equal(b, files[e.Name()])
	}
	if !same {
		return errors.New("dist/ is not what src/ makes: run `go run -C packaging/tools ./dashboard` and commit it")
	}
	return nil
}

func zipped(b []byte) int {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // a level that exists
	_, _ = z.Write(b)                                       // memory takes everything
	_ = z.Close()
	return out.Len()
}
