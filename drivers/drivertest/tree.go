package drivertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Tree makes a folder with these files, for drivers that read those of the
// kernel. A text "-> X" makes a link to X.
func Tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		Plant(t, root, name, text)
	}
	return root
}

// Plant puts one file in the tree, in the place of the one that is there.
func Plant(t testing.TB, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	err := error(nil)
	if link, ok := strings.CutPrefix(text, "-> "); ok {
		err = os.Symlink(link, file)
	} else {
		err = os.WriteFile(file, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
