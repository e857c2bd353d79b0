package wire

import (
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/fieldgate/fieldgate/gateway"
)

// A fact is one row of a table of PROTOCOL.md.
type fact struct{ name, key, kind, limits, meaning string }

// A table is what PROTOCOL.md says of one type of this package.
type table struct {
	title string // "hello"
	part  string // the chapter
	says  string // between heading and table
	facts []fact
}

var (
	chapter  = regexp.MustCompile(`^## \d+\. (.*)$`)
	headline = regexp.MustCompile(`^### ([a-z ]+?)(?: \((\d+)\))?$`)
)

func protocolText(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// protocolTables reads the tables of fields out of PROTOCOL.md.
func protocolTables(t *testing.T) map[string]*table {
	t.Helper()
	tables, part := map[string]*table{}, ""
	var now *table
	for line := range strings.Lines(protocolText(t)) {
		line = strings.TrimSpace(line)
		if m := chapter.FindStringSubmatch(line); m != nil {
			part, now = m[1], nil
		}
		if m := headline.FindStringSubmatch(line); m != nil {
			now = &table{title: m[1], part: part}
			tables[m[1]] = now
			if m[2] != "" && m[2] != strconv.Itoa(int(typeNamed(m[1]))) {
				t.Errorf("%s has the number %s", m[1], m[2])
			}
			continue
		}
		if now != nil {
			now.take(line)
		}
	}
	return tables
}

func (b *table) take(line string) {
	cells, isRow := cellsOf(line)
	switch {
	case !isRow && len(b.facts) == 0:
		b.says = strings.TrimSpace(b.says + " " + line)
	case isRow && len(cells) == 5 && cells[0] != "Field" && !strings.HasPrefix(cells[0], "--"):
		b.facts = append(b.facts, fact{cells[0], cells[1], cells[2], cells[3], cells[4]})
	}
}

func cellsOf(line string) ([]string, bool) {
	if !strings.HasPrefix(line, "|") {
		return nil, false
	}
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells, true
}

// described gives the types of this package that PROTOCOL.md must describe, by
// the title of their tables: every message, and what is inside.
func described() map[string]reflect.Type {
	types := map[string]reflect.Type{}
	var add func(reflect.Type)
	add = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || types[titleOf(t)] != nil {
			return
		}
		types[titleOf(t)] = t
		for i := range t.NumField() {
			add(t.Field(i).Type)
		}
	}
	for _, make := range messages {
		add(reflect.TypeOf(make()))
	}
	add(reflect.TypeFor[Bare]())
	delete(types, "") // the mark of an array
	return types
}

// titleOf gives "hello epoch" for HelloEpoch.
func titleOf(t reflect.Type) string {
	var b strings.Builder
	for i, r := range t.Name() {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// factsOf reads the fields of a type out of its tags.
func factsOf(t reflect.Type) []fact {
	array := t.NumField() > 0 && t.Field(0).Name == "_"
	var facts []fact
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		key, _, _ := strings.Cut(f.Tag.Get("cbor"), ",")
		kind := kindName(f.Type)
		switch {
		case array:
			name, key = strings.ToLower(f.Name), "#"+strconv.Itoa(i-1)
		case name == "-":
			name, kind = strings.ToLower(f.Name), kind+", CBOR only"
		case key == "-":
			kind += ", JSON only"
		case options == "omitempty":
			kind += ", optional"
		}
		if key == "" || inJSONAlone[t] {
			key = "-"
		}
		facts = append(facts, fact{name: name, key: key, kind: kind})
	}
	return facts
}

var inJSONAlone = map[reflect.Type]bool{reflect.TypeFor[Bare](): true, reflect.TypeFor[Row](): true, reflect.TypeFor[ThinnedRow](): true}

var kindNames = map[reflect.Type]string{
	reflect.TypeFor[gateway.EpochID](): "16 bytes", reflect.TypeFor[gateway.BootID](): "16 bytes", reflect.TypeFor[InstallID](): "16 bytes",
	reflect.TypeFor[Time](): "time", reflect.TypeFor[Lane](): "lane",
	reflect.TypeFor[gateway.ClockQuality](): "clock quality", reflect.TypeFor[gateway.EpochGrowth](): "growth",
	reflect.TypeOf(Event{}.Body): "JSON", reflect.TypeFor[[]byte](): "bytes",
	reflect.TypeFor[map[string]float64](): "object of numbers",
}

func kindName(t reflect.Type) string {
	if name := kindNames[t]; name != "" {
		return name
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int64:
		return "int"
	case reflect.Uint64:
		return "uint"
	case reflect.Float64:
		return "number"
	case reflect.Pointer:
		return kindName(t.Elem())
	case reflect.Slice:
		return "list of " + kindName(t.Elem())
	}
	return titleOf(t)
}

// PROTOCOL.md names every message, every field with its key and type, and
// nothing else.
func TestProtocolNamesEveryField(t *testing.T) {
	tables, types := protocolTables(t), described()
	for title := range tables {
		if types[title] == nil {
			t.Errorf("PROTOCOL.md describes %q, which this package does not have", title)
		}
	}
	for title, typ := range types {
		b := tables[title]
		if b == nil {
			t.Errorf("PROTOCOL.md does not describe %q (%v)", title, typ)
			continue
		}
		var said []fact
		for _, f := range b.facts {
			if f.meaning == "" {
				t.Errorf("%s %s has no meaning", title, f.name)
			}
			said = append(said, fact{name: f.name, key: f.key, kind: strings.Replace(f.kind, " or null", "", 1)})
		}
		if want := factsOf(typ); !reflect.DeepEqual(said, want) {
			t.Errorf("%s: PROTOCOL.md says\n%q, the code\n%q", title, said, want)
		}
	}
}

// A bounds is what the column of limits says.
type bounds struct {
	unit     string // "id", "hex", "bytes", "elements" or "" for numbers
	min, max int64
}

var limitForm = regexp.MustCompile(`^(?:≤ (\d+)|(\d+) … (\d+|2\^63-1))(?: (bytes|elements))?$`)

func boundsOf(t *testing.T, text string) (bounds, bool) {
	t.Helper()
	switch text {
	case "":
		return bounds{}, false
	case "id":
		return bounds{"id", 1, 64}, true
	case "64 hex digits":
		return bounds{"hex", 64, 64}, true
	}
	m := limitForm.FindStringSubmatch(text)
	if m == nil {
		t.Errorf("limits %q are not of a known form", text)
		return bounds{}, false
	}
	number := func(s string) int64 {
		if s == "2^63-1" {
			return maxSeq
		}
		n, _ := strconv.ParseInt(s, 10, 64)
		return n
	}
	return bounds{m[4], number(m[2]), number(m[1] + m[3])}, true
}

// What PROTOCOL.md says of limits is what the code refuses.
func TestLimitsOfFields(t *testing.T) {
	tables, probed := protocolTables(t), 0
	for title, typ := range described() {
		b := tables[title]
		if b == nil {
			t.Fatalf("no table of %s", title)
		}
		for _, f := range b.facts {
			limit, ok := boundsOf(t, f.limits)
			if !ok {
				continue
			}
			place := findField(typ, f.name)
			m := sampleOf(typ, place)
			if m == nil {
				t.Errorf("no sample has %s of %s", f.name, title)
				continue
			}
			probe(t, title+" "+f.name, m, limit, func(m Message) reflect.Value { return locate(reflect.ValueOf(m), typ).Field(place) })
			probed++
		}
	}
	if probed < 90 {
		t.Errorf("only %d limits were probed", probed)
	}
}

func findField(t reflect.Type, name string) int {
	for i, f := range factsOf(t) {
		if f.name == name {
			if t.Field(0).Name == "_" {
				i++
			}
			return i
		}
	}
	return -1
}

// sampleOf gives a golden message in which a field of a type is set, as far as
// there is one.
func sampleOf(typ reflect.Type, place int) Message {
	all := inJSON()
	maps.Copy(all, golden())
	var found Message
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		if m.validate() != nil {
			continue
		}
		v := locate(reflect.ValueOf(m), typ)
		if !v.IsValid() {
			continue
		}
		found = m
		if !v.Field(place).IsZero() {
			return m
		}
	}
	return found
}

// locate gives the first value of a type inside of v.
func locate(v reflect.Value, typ reflect.Type) reflect.Value {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return locate(v.Elem(), typ)
	case v.Type() == typ:
		return v
	case v.Kind() == reflect.Slice && v.Len() > 0:
		return locate(v.Index(0), typ)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if in := locate(v.Field(i), typ); in.IsValid() {
				return in
			}
		}
	}
	return reflect.Value{}
}

// dependent are fields whose greatest or least values do not stand alone:
// another field must fit.
var dependent = []string{
	"hello epochs", "hello epoch oldest", "hello epoch last", "update first", "end closed", "update lane",
	"nack expected", "update blocks", "update readings", "update thinned_rows", "event body", "command args", "hello caps", "status devices", "status health",
	"status device channels", "status figures", "reported errors",
}

// probe sets a field to its bounds and beyond.
func probe(t *testing.T, what string, m Message, l bounds, field func(Message) reflect.Value) {
	t.Helper()
	v := field(m)
	before := reflect.New(v.Type()).Elem()
	before.Set(v)
	defer func() { v.Set(before) }()
	good, bad := samples(v, l)
	for _, s := range good {
		v.Set(s)
		if err := m.validate(); err != nil && !slices.Contains(dependent, what) {
			t.Errorf("%s takes %s … %.40v is refused: %v", what, fmt.Sprint(l), s, err)
		}
	}
	for _, s := range bad {
		v.Set(s)
		if m.validate() == nil {
			t.Errorf("%s takes %.80v, beyond %v", what, fmt.Sprintf("%+v", s), l)
		}
	}
}

// samples gives values at the bounds and beyond them.
func samples(v reflect.Value, l bounds) (good, bad []reflect.Value) {
	typ := v.Type()
	as := func(x any) reflect.Value { return reflect.ValueOf(x).Convert(typ) }
	switch {
	case l.unit == "id":
		return []reflect.Value{as(strings.Repeat("a", 64))}, []reflect.Value{as("a.b"), as("a b"), as("*"), as(strings.Repeat("a", 65))}
	case l.unit == "hex":
		return []reflect.Value{as(strings.Repeat("0f", 32))}, []reflect.Value{as(""), as(strings.Repeat("0", 63)), as(strings.Repeat("x", 64))}
	case l.unit == "bytes" && typ.Kind() == reflect.String:
		good, bad = []reflect.Value{as(strings.Repeat("a", int(l.max)))}, []reflect.Value{as(strings.Repeat("a", int(l.max+1)))}
		if l.min > 0 {
			bad = append(bad, as(""))
		}
		return good, bad
	case l.unit == "bytes":
		text := func(n int64) reflect.Value { return as([]byte(`"` + strings.Repeat("a", int(n)-2) + `"`)) }
		return []reflect.Value{text(l.max)}, []reflect.Value{text(l.max + 1)}
	case l.unit == "elements" && typ.Kind() == reflect.Map:
		return []reflect.Value{as(manyFigures(int(l.max)))}, []reflect.Value{as(manyFigures(int(l.max + 1)))}
	case l.unit == "elements":
		return []reflect.Value{repeated(v, int(l.max))}, []reflect.Value{repeated(v, int(l.max+1))}
	}
	number := func(n int64) reflect.Value {
		p := reflect.New(typ).Elem()
		at := p
		if typ.Kind() == reflect.Pointer {
			p.Set(reflect.New(typ.Elem()))
			at = p.Elem()
		}
		at.Set(reflect.ValueOf(n).Convert(at.Type()))
		return p
	}
	good = []reflect.Value{number(l.min), number(l.max)}
	signed := typ.Kind() == reflect.Int || typ.Kind() == reflect.Int64
	if signed || l.min > 0 {
		bad = append(bad, number(l.min-1))
	}
	if !signed || l.max < maxSeq {
		bad = append(bad, number(l.max+1)) // wraps to 2^63 where unsigned
	}
	return good, bad
}

// repeated gives a list of n elements, each the first of v, or zero.
func repeated(v reflect.Value, n int) reflect.Value {
	list := reflect.MakeSlice(v.Type(), n, n)
	for i := range n {
		if v.Len() > 0 {
			list.Index(i).Set(v.Index(0))
		}
	}
	return list
}

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
		if want := reactionText(r); row[3] != want && !strings.HasPrefix(row[3], want+", as long as") && !strings.HasPrefix(row[3], want+", at least") {
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
