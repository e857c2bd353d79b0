package e2e

import (
	"os"
	"strings"
	"testing"
)

// Blocks gives the code blocks of a language in a document, one string each,
// in their order: what it tells people to type is what tests run.
func Blocks(t *testing.T, path, language string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	rest := string(text)
	for {
		_, after, found := strings.Cut(rest, "```"+language+"\n")
		if !found {
			return blocks
		}
		block, behind, closed := strings.Cut(after, "```")
		if !closed {
			t.Fatalf("%s: a block does not end", path)
		}
		blocks, rest = append(blocks, block), behind
	}
}
