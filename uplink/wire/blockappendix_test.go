package wire_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// fenced gives the lines between the fences that follow after in PROTOCOL.md.
func fenced(t *testing.T, after, fence string) string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, "PROTOCOL.md"), after)
	_, rest, open := strings.Cut(rest, "\n```"+fence+"\n")
	text, _, closed := strings.Cut(rest, "```\n")
	if !found || !open || !closed {
		t.Fatalf("PROTOCOL.md has nothing between fences behind %q", after)
	}
	return text
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The appendix has the description of a document, and a block, as store/block
// has them.
func TestProtocolDescribesTheDocumentOfABlock(t *testing.T) {
	const folder = "../../store/block/"
	if fenced(t, "## Appendix", "cddl") != read(t, folder+"block.cddl") {
		t.Error("the appendix of PROTOCOL.md is not store/block/block.cddl")
	}
	example := fenced(t, "A whole block of one reading", "")
	if example != read(t, folder+"testdata/vectors/one.block") {
		t.Error("the example of PROTOCOL.md is not the vector one.block of store/block")
	}
	b, err := hex.DecodeString(strings.ReplaceAll(example, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	_, rs, err := block.NewDecoder().Decode(b)
	if err != nil || len(rs) != 1 {
		t.Fatalf("the example holds %d readings: %v", len(rs), err)
	}
	said, err := cbor.Diagnose(b[block.HeaderSize:])
	if err != nil || !strings.Contains(read(t, "PROTOCOL.md"), "`"+said+"`") {
		t.Errorf("PROTOCOL.md does not say of the example %s (%v)", said, err)
	}
	var qualities []string
	for q := gateway.Good; q <= gateway.Simulated; q++ {
		qualities = append(qualities, string('0'+byte(q))+" "+q.String())
	}
	if want := strings.Join(qualities, ", "); !strings.Contains(read(t, "PROTOCOL.md"), want) {
		t.Errorf("PROTOCOL.md does not say %q", want)
	}
}
