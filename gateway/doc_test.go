package gateway_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every promise names the test that tries to break it, or says that there is
// none yet; and the tests named are there.
func TestPromisesNameTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, promises, _ := strings.Cut(string(text), "# The promises")
	parts := regexp.MustCompile(`(?m)^//  \d+\. `).Split(promises, -1)[1:]
	if len(parts) != 12 {
		t.Fatalf("found %d promises, want 12", len(parts))
	}
	here := declared(t)
	for i, promise := range parts {
		names := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(promise, -1)
		if len(names) == 0 && !strings.Contains(promise, "No test yet") {
			t.Errorf("promise %d names no test and does not say that there is none", i+1)
		}
		for _, name := range names {
			if !here[name] {
				t.Errorf("promise %d names %s, which does not exist", i+1, name)
			}
		}
	}
}

// declared gives the names of all tests of this module.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	files, err := filepath.Glob("../*/*_test.go")
	for _, pattern := range []string{"../*/*/*_test.go", "../*/*/*/*_test.go"} {
		more, e := filepath.Glob(pattern)
		if files = append(files, more...); e != nil {
			err = e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			found[string(m[1])] = true
		}
	}
	return found
}
