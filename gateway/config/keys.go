package config

import (
	"reflect"
	"strings"
)

// retired are keys that earlier releases took, and what to do about them. For
// one release they are a note: a gateway must not stop because its program was
// updated. Then they go from this table and are refused like any other.
var retired = map[string]string{
	"local.encoding":       "this never had an effect in [local]; it belongs into [uplink]. The next release refuses it here",
	"local.unacknowledged": "this never had an effect in [local]; it belongs into [uplink]. The next release refuses it here",
}

// homesOf gives the tables that have a key, as their headers are written.
func homesOf(key string) []string {
	var homes []string
	for _, f := range Fields() {
		i := strings.LastIndexByte(f.Path, '.')
		if i < 0 || f.Path[i+1:] != key {
			continue
		}
		homes = append(homes, header(f.Path[:i]))
	}
	for path, kind := range tables("", reflect.TypeFor[Config]()) {
		if path[strings.LastIndexByte(path, '.')+1:] == key {
			homes = append(homes, "a table of its own, "+kind)
		}
	}
	return homes
}

// header writes "device[].channel[]" as a file does: [[device.channel]].
func header(path string) string {
	name, list := strings.CutSuffix(path, "[]")
	name = strings.ReplaceAll(name, "[]", "")
	if list {
		return "[[" + name + "]]"
	}
	return "[" + name + "]"
}

// tables gives every table of the configuration below path, and its header.
func tables(path string, t reflect.Type) map[string]string {
	found := map[string]string{}
	for i := range t.NumField() {
		f := t.Field(i)
		key, inner, list := f.Tag.Get("toml"), f.Type, isTables(f.Type)
		if list {
			inner = inner.Elem()
		}
		if key == "" || inner.Kind() != reflect.Struct {
			continue
		}
		at := join(path, key)
		suffix := ""
		if list {
			suffix = "[]"
		}
		found[at] = header(at + suffix)
		for name, h := range tables(at, inner) {
			found[name] = h
		}
	}
	return found
}
