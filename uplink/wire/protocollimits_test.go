package wire

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

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
			probe{title + " " + f.name, m, limit, locate(reflect.ValueOf(m), typ).Field(place)}.run(t)
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
	"nack expected", "update blocks", "update readings", "update thinned_rows", "event body", "command args",
	"hello caps", "welcome caps", "status devices", "status health",
	"status device channels", "status figures", "reported errors",
}

// A probe sets a field of a message to its bounds and beyond.
type probe struct {
	what   string // "hello sw"
	m      Message
	limits bounds
	field  reflect.Value // in m
}

func (p probe) run(t *testing.T) {
	t.Helper()
	before := reflect.New(p.field.Type()).Elem()
	before.Set(p.field)
	defer func() { p.field.Set(before) }()
	good, bad := samples(p.field, p.limits)
	for _, s := range good {
		p.field.Set(s)
		if err := p.m.validate(); err != nil && !slices.Contains(dependent, p.what) {
			t.Errorf("%s takes %v; %.40v is refused: %v", p.what, p.limits, s, err)
		}
	}
	for _, s := range bad {
		p.field.Set(s)
		if p.m.validate() == nil {
			t.Errorf("%s takes %.80s, beyond %v", p.what, fmt.Sprintf("%+v", s), p.limits)
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
