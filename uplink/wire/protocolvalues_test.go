package wire

import (
	"encoding/hex"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rowsUnder gives the cells of the table whose first heading is first.
func rowsUnder(t *testing.T, first string) [][]string {
	t.Helper()
	var rows [][]string
	on := false
	for line := range strings.Lines(protocolText(t)) {
		cells, isRow := cellsOf(strings.TrimSpace(line))
		switch {
		case !isRow:
			on = false
		case cells[0] == first:
			on = true
		case on && !strings.HasPrefix(cells[0], "--"):
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("PROTOCOL.md has no table of %s", first)
	}
	return rows
}

// reactionText says a reaction as PROTOCOL.md does.
func reactionText(r Reaction) string {
	text := map[Wait]string{
		WaitBackOff: "backs off", WaitSlow: "backs off a minute longer", WaitAuth: "waits 5 min to 1 h", WaitTakeover: "waits 30 s to 1 min",
	}[r.Wait]
	if r.Halve {
		text = "halves its messages and " + text
	}
	if r.Alarm {
		text += ", raises an alarm"
	}
	return text
}

func TestProtocolNamesEveryCloseCode(t *testing.T) {
	said := map[int]bool{}
	for _, row := range rowsUnder(t, "Code") {
		code, err := strconv.Atoi(row[0])
		r, known := reactions[code]
		if err != nil || !known {
			t.Errorf("PROTOCOL.md has close code %s, which this package does not know", row[0])
			continue
		}
		said[code] = true
		if want := reactionText(r); row[3] != want && !strings.HasPrefix(row[3], want+", as long as") &&
			!strings.HasPrefix(row[3], want+", at least") {
			t.Errorf("close code %d: PROTOCOL.md says %q, the code %q", code, row[3], want)
		}
	}
	for code := range reactions {
		if !said[code] && code != 1006 { // 1006 is never sent
			t.Errorf("PROTOCOL.md does not name close code %d", code)
		}
	}
	for name := range constantsOf(t, "close.go", "") {
		if strings.HasPrefix(name, "Close") && len(said) < 18 {
			t.Errorf("only %d close codes", len(said))
		}
	}
}

// limitValues are the constants of limits.go.
var limitValues = map[string]int64{
	"MaxMessage": MaxMessage, "DefaultMessage": DefaultMessage, "MinMessage": MinMessage, "MaxHelloEpochs": MaxHelloEpochs,
	"MaxPacked": MaxPacked, "MaxBlocks": MaxBlocks, "MaxBlockN": MaxBlockN, "MaxBlockRaw": MaxBlockRaw, "MaxEventBody": MaxEventBody,
	"MaxCommandTTL": MaxCommandTTL.Milliseconds(), "MaxStatusList": MaxStatusList, "MaxFigures": MaxFigures, "MaxText": MaxText,
	"MaxConfigDoc": MaxConfigDoc, "MaxReportedErrors": MaxReportedErrors,
}

func TestProtocolNamesEveryLimit(t *testing.T) {
	said := map[string]int64{}
	for _, row := range rowsUnder(t, "Limit") {
		said[row[0]], _ = strconv.ParseInt(row[1], 10, 64)
	}
	if !maps.Equal(said, limitValues) {
		t.Errorf("PROTOCOL.md says %v, the code %v", said, limitValues)
	}
	for name := range constantsOf(t, "limits.go", "") {
		if _, ok := limitValues[name]; !ok && ast.IsExported(name) && name != "DefaultWindows" {
			t.Errorf("the test does not know the limit %s", name)
		}
	}
	windows := map[string]Window{"events": DefaultWindows.Ev, "live": DefaultWindows.Live, "backlog": DefaultWindows.Back}
	for _, row := range rowsUnder(t, "Lane") {
		w := windows[row[0]]
		if row[1] != strconv.Itoa(w.Msgs) || row[2] != strconv.Itoa(w.Bytes) {
			t.Errorf("PROTOCOL.md says %v, the window is %+v", row, w)
		}
	}
}

// constantsOf gives the constants that a file declares of a type ("": of any),
// with their values where these are texts.
func constantsOf(t *testing.T, file, typ string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		of, _ := spec.Type.(*ast.Ident)
		if typ != "" && (of == nil || of.Name != typ) {
			return true
		}
		for i, name := range spec.Names {
			found[name.Name] = ""
			if i < len(spec.Values) {
				if lit, ok := spec.Values[i].(*ast.BasicLit); ok {
					found[name.Name], _ = strconv.Unquote(lit.Value)
				}
			}
		}
		return true
	})
	if len(found) == 0 {
		t.Fatalf("%s declares no %s", file, typ)
	}
	return found
}

// Every value that has a name on the line is named.
func TestProtocolNamesEveryValue(t *testing.T) {
	text := protocolText(t)
	for _, list := range []map[string]string{
		constantsOf(t, "../../gateway/event.go", "EventKind"), constantsOf(t, "../../gateway/command.go", "CommandState"),
		constantsOf(t, "../../gateway/block.go", "Why"), constantsOf(t, "messages.go", "Level"), constantsOf(t, "messages.go", "NackCode"),
		{"": SubprotocolCBOR}, {"": SubprotocolJSON},
	} {
		for _, value := range list {
			if !strings.Contains(text, "`"+value+"`") {
				t.Errorf("PROTOCOL.md does not name %q", value)
			}
		}
	}
}

// The example of PROTOCOL.md is what both codecs make of it.
func TestProtocolExample(t *testing.T) {
	var texts, frames []string
	for line := range strings.Lines(protocolText(t)) {
		line = strings.TrimSpace(line)
		if len(line) < 3 || line[0] != 'G' && line[0] != 'C' || line[1] != ' ' {
			continue
		}
		if line[2] == '{' {
			texts = append(texts, line[2:])
		} else if _, err := hex.DecodeString(line[2:]); err == nil {
			frames = append(frames, line[2:])
		}
	}
	var want []string
	for _, text := range texts {
		m, err := JSON.Decode([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if b, err := JSON.Encode(m); err != nil || string(b) != text {
			t.Errorf("PROTOCOL.md has\n%s, the codec\n%s (%v)", text, b, err)
		}
		if u, ok := m.(*Update); ok && u.Readings != nil {
			continue
		}
		b, err := CBOR.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, hex.EncodeToString(b))
	}
	if len(texts) < 8 || !slices.Equal(frames, want) {
		t.Errorf("%d messages; in CBOR PROTOCOL.md has\n%s, want\n%s", len(texts), strings.Join(frames, "\n"), strings.Join(want, "\n"))
	}
}
