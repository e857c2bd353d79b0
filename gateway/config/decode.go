package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A decoder fills the structs of config.go by their tags.
type decoder struct{ col *collector }

// fields fills v from the table n and gives the keys that it knows. Slices of
// structs are left to the caller.
func (d *decoder) fields(n *node, path string, v reflect.Value) []string {
	var known []string
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := field.Tag.Get("toml")
		if key == "" || isTables(field.Type) {
			continue
		}
		known = append(known, key)
		value, at := n.table[key], join(path, key)
		switch {
		case value == nil && field.Tag.Get("required") != "":
			d.col.add(n.at, at, "this key is missing: %s", field.Tag.Get("required"))
		case value == nil || value.kind == unstable.Invalid:
		case field.Type.Kind() == reflect.Struct:
			d.subtable(value, at, v.Field(i))
		default:
			d.value(value, at, field, v.Field(i))
		}
	}
	return known
}

func (d *decoder) subtable(n *node, path string, v reflect.Value) {
	if n.kind != unstable.Table {
		d.wrongType(n, path, "a table, ["+path+"]")
		return
	}
	d.unknown(n, path, d.fields(n, path, v))
}

// unknown tells the keys of n that are not known.
func (d *decoder) unknown(n *node, path string, known []string) {
	for _, key := range n.order {
		if slices.Contains(known, key) {
			continue
		}
		at, full := n.table[key].keyAt, join(path, key)
		if words := retired[full]; words != "" {
			d.col.note(at, full, words)
			continue
		}
		if d.col.full() { // nobody reads the hints
			d.col.more++
			continue
		}
		if homes := homesOf(key); len(homes) > 0 {
			d.col.add(at, full, "no such key here; it belongs into %s", strings.Join(homes, " or "))
			continue
		}
		d.col.add(at, full, "no such key%s", didYouMean(key, known))
	}
}

func isTables(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

func (d *decoder) wrongType(n *node, path, want string) {
	if n.kind == unstable.Invalid {
		return // told already
	}
	d.bad(n, path, "this must be %s, not %s", want, kindNames[n.kind])
}

// bad tells a problem with a value, and marks the value so that no later check
// tells another.
func (d *decoder) bad(n *node, path, format string, args ...any) {
	d.col.add(n.at, path, format, args...)
	n.kind = unstable.Invalid
}

var kindNames = map[unstable.Kind]string{
	unstable.Table: "a table", unstable.ArrayTable: "a list of tables", unstable.Array: "a list",
	unstable.String: "a string", unstable.Bool: "true or false", unstable.Float: "a number with a fraction",
	unstable.Integer: "a whole number", unstable.LocalDate: "a date", unstable.LocalTime: "a time of day",
	unstable.LocalDateTime: "a date", unstable.DateTime: "a date",
}

// value checks one value and puts it into v. What is wrong is told at the
// value, or at the element of the list that is wrong.
func (d *decoder) value(n *node, path string, field reflect.StructField, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[*Range]():
		d.bounds(n, path, v)
	case v.Kind() == reflect.Slice:
		d.strings(n, path, field, v)
	default:
		if want := wanted(v.Type(), n.kind); want != "" {
			d.wrongType(n, path, want)
			return
		}
		if err := setText(v, n.text, field.Tag); err != nil {
			d.bad(n, path, "%s", err)
		}
	}
}

// wanted says in words what a field of type t wants, if kind is not it.
func wanted(t reflect.Type, kind unstable.Kind) string {
	allowed, words := []unstable.Kind{unstable.String}, "a string"
	switch {
	case t == reflect.TypeFor[time.Duration]():
		words = `a duration in quotes, such as "10s"`
	case t == reflect.TypeFor[Size]():
		words = `a size in quotes, such as "256MiB"`
	case t.Kind() == reflect.Bool:
		allowed, words = []unstable.Kind{unstable.Bool}, "true or false"
	case t.Kind() == reflect.Int64:
		allowed, words = []unstable.Kind{unstable.Integer}, "a whole number"
	case t.Kind() == reflect.Float64:
		allowed, words = []unstable.Kind{unstable.Float, unstable.Integer}, "a number"
	}
	if slices.Contains(allowed, kind) {
		return ""
	}
	return words
}

// setText puts a scalar, given as text, into v and checks it by the tags
// min, max, oneof and form.
func setText(v reflect.Value, text string, tag reflect.StructTag) error {
	parsed, err := parseText(v.Type(), text)
	if err != nil {
		return err
	}
	for _, bound := range []struct {
		tag, words string
		wrong      int
	}{{"min", "at least", -1}, {"max", "at most", 1}} {
		limit := tag.Get(bound.tag)
		if limit == "" {
			continue
		}
		l, err := parseText(v.Type(), limit)
		if err != nil {
			return err
		}
		if compare(parsed, l) == bound.wrong {
			return fmt.Errorf("%s is out of bounds: this must be %s %s", text, bound.words, limit)
		}
	}
	if choices := strings.Fields(tag.Get("oneof")); len(choices) > 0 && !slices.Contains(choices, text) {
		return fmt.Errorf("%q is not one of %s%s", text, strings.Join(choices, ", "), didYouMean(text, choices))
	}
	if form := tag.Get("form"); form != "" {
		if err := forms[form](text); err != nil {
			return err
		}
	}
	v.Set(parsed)
	return nil
}

// parseText reads the text of a scalar of type t.
func parseText(t reflect.Type, text string) (v reflect.Value, err error) {
	digits := strings.ReplaceAll(text, "_", "")
	var x any
	switch {
	case t == reflect.TypeFor[time.Duration]():
		x, err = parseDuration(text)
	case t == reflect.TypeFor[Size]():
		x, err = parseSize(text)
	case t.Kind() == reflect.Bool:
		x = text == "true"
	case t.Kind() == reflect.Int64:
		if x, err = strconv.ParseInt(digits, 0, 64); err != nil {
			err = fmt.Errorf("%s is too large a number", text)
		}
	case t.Kind() == reflect.Float64:
		x, err = parseNumber(digits)
	default:
		x = text
	}
	return reflect.ValueOf(x), err
}

// parseNumber reads a TOML integer or float that is finite.
func parseNumber(digits string) (float64, error) {
	if n, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return float64(n), nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, fmt.Errorf("%s is not a number that can be calculated with", digits)
	}
	return f, nil
}

// compare compares two values of one numeric type.
func compare(a, b reflect.Value) int {
	x, y := a.Convert(reflect.TypeFor[float64]()).Float(), b.Convert(reflect.TypeFor[float64]()).Float()
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// bounds reads [lowest, highest].
func (d *decoder) bounds(n *node, path string, v reflect.Value) {
	if n.kind != unstable.Array || len(n.items) != 2 {
		d.col.add(n.at, path, "this must be a list of two numbers, [lowest, highest]")
		return
	}
	var r Range
	ok := true
	for i, item := range n.items {
		if want := wanted(reflect.TypeFor[float64](), item.kind); want != "" {
			d.wrongType(item, path, want)
			ok = false
			continue
		}
		if err := setText(reflect.ValueOf(&r[i]).Elem(), item.text, ""); err != nil {
			d.col.add(item.at, path, "%s", err)
			ok = false
		}
	}
	if ok && r[0] >= r[1] {
		d.col.add(n.at, path, "the lowest value must be below the highest")
	}
	v.Set(reflect.ValueOf(&r))
}

// strings reads a list of strings, each of the field's form.
func (d *decoder) strings(n *node, path string, field reflect.StructField, v reflect.Value) {
	if n.kind != unstable.Array {
		d.wrongType(n, path, `a list of strings, such as ["a", "b"]`)
		return
	}
	var list []string
	for _, item := range n.items {
		var s string
		if want := wanted(reflect.TypeFor[string](), item.kind); want != "" {
			d.wrongType(item, path, want)
			continue
		}
		if err := setText(reflect.ValueOf(&s).Elem(), item.text, field.Tag); err != nil {
			d.col.add(item.at, path, "%s", err)
		}
		list = append(list, s)
	}
	v.Set(reflect.ValueOf(list))
}

// setDefaults fills v and the structs in it by their default tags.
func setDefaults(v reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		text, has := field.Tag.Lookup("default")
		switch {
		case field.Type.Kind() == reflect.Struct:
			setDefaults(v.Field(i))
		case has:
			if err := setText(v.Field(i), text, field.Tag); err != nil {
				panic(fmt.Sprintf("default of %s: %v", field.Name, err)) // a constant of config.go is wrong; every test of this package sees it
			}
		}
	}
}
