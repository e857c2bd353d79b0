package wire

import (
	"os"
	"reflect"
	"regexp"
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
	case reflect.Uint64, reflect.Uint32:
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
