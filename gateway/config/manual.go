package config

import (
	"reflect"
	"strings"
)

// A Field is one key of the configuration as a person reads of it.
type Field struct {
	Path    string // "store.flush_interval"; lists of tables as "device[].interval"
	Type    string // "duration", "size", "string", "number", "integer", "bool", "list", "range"
	Default string // "" if it has none
	Doc     string
}

// Fields lists every key, in the order of the file, from the same tags that
// Load goes by.
func Fields() []Field { return fields("", reflect.TypeFor[Config]()) }

func fields(path string, t reflect.Type) []Field {
	var list []Field
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("toml")
		switch {
		case key == "":
		case f.Type.Kind() == reflect.Struct:
			list = append(list, fields(join(path, key), f.Type)...)
		case isTables(f.Type):
			list = append(list, fields(join(path, key)+"[]", f.Type.Elem())...)
		default:
			list = append(list, Field{join(path, key), typeName(f.Type), f.Tag.Get("default"), f.Tag.Get("doc")})
		}
	}
	return list
}

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
