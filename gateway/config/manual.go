package config

import (
	"reflect"
	"strings"
)

// A Field is one key of the configuration as a person reads of it.
type Field struct {
	Path     string // "store.flush_interval"; lists of tables as "device[].interval"
	Type     string // "duration", "size", "string", "path", "number", "integer", "bool", "list", "range"
	Unit     string // of a plain number; "" if the type says it, or has none
	Default  string // "" if it has none
	Required bool
	Min, Max string   // "" without bound
	OneOf    []string // nil: any
	Ship     string   // what the shipped file sets it to, as TOML; "": nothing
	Example  string   // what the shipped file shows in a comment, as TOML; "": the default
	Doc      string
}

// A Table is a table of the configuration.
type Table struct {
	Path string // as in Field, without the key; "" is the top of the file
	Doc  string
}

// Fields lists every key, in the order of the file, from the same tags that
// Load goes by.
func Fields() []Field {
	list, _ := manual("", reflect.TypeFor[Config]())
	return list
}

// Tables lists every table, in the order of the file.
func Tables() []Table {
	_, list := manual("", reflect.TypeFor[Config]())
	return list
}

func manual(path string, t reflect.Type) (fields []Field, tables []Table) {
	var inner []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		switch key := f.Tag.Get("toml"); {
		case key == "":
		case f.Type.Kind() == reflect.Struct, isTables(f.Type):
			inner = append(inner, f)
		default:
			fields = append(fields, fieldOf(join(path, key), f))
		}
	}
	for _, f := range inner {
		at, of := join(path, f.Tag.Get("toml")), f.Type
		if isTables(of) {
			at, of = at+"[]", of.Elem()
		}
		tables = append(tables, Table{Path: at, Doc: f.Tag.Get("doc")})
		below, deeper := manual(at, of)
		fields, tables = append(fields, below...), append(tables, deeper...)
	}
	return fields, tables
}

func fieldOf(path string, f reflect.StructField) Field {
	_, required := f.Tag.Lookup("required")
	field := Field{
		Path: path, Type: typeName(f.Type), Unit: f.Tag.Get("unit"), Default: f.Tag.Get("default"), Required: required,
		Min: f.Tag.Get("min"), Max: f.Tag.Get("max"), OneOf: strings.Fields(f.Tag.Get("oneof")),
		Ship: f.Tag.Get("ship"), Example: f.Tag.Get("example"), Doc: f.Tag.Get("doc"),
	}
	if f.Tag.Get("form") == "path" {
		field.Type = "path"
	}
	return field
}

// Header writes the path of a table as a file does: "device[].channel[]" is
// [[device.channel]].
func Header(path string) string { return header(path) }

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return "range"
	case reflect.Slice:
		return "list"
	case reflect.Float64:
		return "number"
	}
	if name := t.Name(); name != "int64" {
		return strings.ToLower(name)
	}
	return "integer"
}
