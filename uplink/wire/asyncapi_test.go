package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
)

// object is a JSON object; its keys are written in order of the alphabet.
type object = map[string]any

// asyncapi.json is made of the types of this package and of what PROTOCOL.md
// says about them: go test ./uplink/wire -run AsyncAPI -update
func TestAsyncAPI(t *testing.T) {
	var out bytes.Buffer
	to := json.NewEncoder(&out)
	to.SetEscapeHTML(false)
	to.SetIndent("", "  ")
	if err := to.Encode(asyncAPI(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("asyncapi.json", out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile("asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, out.Bytes()) {
		t.Error("asyncapi.json is not what the code says: go test ./uplink/wire -run AsyncAPI -update")
	}
}

func asyncAPI(t *testing.T) object {
	tables := protocolTables(t)
	schemas, msgs, inChannel, operations := object{}, object{}, object{}, object{}
	for title, typ := range described() {
		b := tables[title]
		if b == nil {
			t.Fatalf("PROTOCOL.md does not describe %q", title)
		}
		schemas[camel(title)] = schemaOf(t, b, typ)
		if !reflect.PointerTo(typ).Implements(reflect.TypeFor[Message]()) {
			continue
		}
		msgs[title] = messageOf(b, typ)
		inChannel[title] = ref("components", "messages", title)
		for action, verb := range directions(t, b) {
			operations[verb+strings.ToUpper(title[:1])+title[1:]] = object{
				"action": action, "channel": ref("channels", "gateway"), "messages": []any{ref("channels", "gateway", "messages", title)},
			}
		}
	}
	return object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "fieldgate.v1", "version": "1.0.0",
			"description": "The line between a gateway and its cloud, seen from the gateway: it sends what is marked send. " +
				"The rules are in PROTOCOL.md; this file is made of the same source. " +
				"Schemas are of the JSON encoding; x-cbor-key gives the key of a field in CBOR.",
		},
		"defaultContentType": "application/json",
		"servers": object{"cloud": object{
			"host": "cloud.example.com", "protocol": "wss", "description": "any cloud that speaks fieldgate.v1",
			"security": []any{ref("components", "securitySchemes", "bearer"), ref("components", "securitySchemes", "certificate")},
		}},
		"channels": object{"gateway": object{
			"address": "/v1/gateway", "title": "one session of one gateway", "servers": []any{ref("servers", "cloud")}, "messages": inChannel,
			"bindings": object{"ws": object{"method": "GET", "bindingVersion": "0.1.0", "headers": object{
				"type": "object", "properties": object{"Sec-WebSocket-Protocol": object{
					"type": "string", "description": "the gateway offers them in this order; the cloud chooses one",
					"enum": []string{SubprotocolCBOR, SubprotocolJSON},
				}},
			}}},
			"x-close-codes": closeCodes(t), "x-limits": limitValues, "x-default-windows": DefaultWindows,
		}},
		"operations": operations,
		"components": object{"messages": msgs, "schemas": schemas, "securitySchemes": object{
			"bearer":      object{"type": "http", "scheme": "bearer", "bearerFormat": "fg1_<gateway_id>_<64 hex digits>"},
			"certificate": object{"type": "X509"},
		}},
	}
}

func ref(path ...string) object { return object{"$ref": "#/" + strings.Join(path, "/")} }

// camel gives helloEpoch for "hello epoch".
func camel(title string) string {
	words := strings.Fields(title)
	for i := 1; i < len(words); i++ {
		words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
	}
	return strings.Join(words, "")
}

// directions reads out of the chapter who sends a message.
func directions(t *testing.T, b *table) map[string]string {
	both := map[string]string{"send": "send", "receive": "receive"}
	switch b.part {
	case "Messages of both sides":
		return both
	case "Messages of the gateway":
		delete(both, "receive")
	case "Messages of the cloud":
		delete(both, "send")
	default:
		t.Errorf("message %s stands in chapter %q", b.title, b.part)
	}
	return both
}

func messageOf(b *table, typ reflect.Type) object {
	m := object{"name": b.title, "contentType": "application/json", "payload": ref("components", "schemas", camel(b.title))}
	if b.says != "" {
		m["description"] = b.says
	}
	if t := typeNamed(b.title); t != 0 {
		m["x-cbor-type"] = int(t)
	}
	for _, name := range slices.Sorted(maps.Keys(inJSON())) {
		sample := inJSON()[name]
		text, err := JSON.Encode(sample)
		if err == nil && reflect.TypeOf(sample).Elem() == typ {
			m["examples"] = []any{object{"name": name, "payload": json.RawMessage(text)}}
			break
		}
	}
	return m
}

// schemaOf gives the schema of one type: an object, or an array of fixed places.
func schemaOf(t *testing.T, b *table, typ reflect.Type) object {
	var places, required []any
	properties, onlyCBOR := object{}, object{}
	for _, f := range b.facts {
		s := fieldSchema(t, f, typ.Field(findField(typ, f.name)).Type)
		s["description"] = f.meaning
		if strings.HasPrefix(f.key, "#") {
			s["title"] = f.name
			places = append(places, s)
			continue
		}
		if key, err := strconv.Atoi(f.key); err == nil {
			s["x-cbor-key"] = key
		}
		if strings.HasSuffix(f.kind, "CBOR only") {
			onlyCBOR[f.name] = object{"x-cbor-key": s["x-cbor-key"], "type": strings.TrimSuffix(f.kind, ", CBOR only"), "description": f.meaning}
			continue
		}
		properties[f.name] = s
		if !strings.Contains(f.kind, ", ") {
			required = append(required, f.name)
		}
	}
	if places != nil {
		return object{"type": "array", "items": places, "minItems": len(places), "maxItems": len(places), "additionalItems": false}
	}
	if typeNamed(b.title) != 0 && reflect.PointerTo(typ).Implements(reflect.TypeFor[Message]()) {
		properties["type"] = object{"const": b.title, "x-cbor-key": 0}
		required = append([]any{"type"}, required...)
	}
	s := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	if len(onlyCBOR) > 0 {
		s["x-cbor-only"] = onlyCBOR
	}
	return s
}

// fieldSchema gives the schema of one field, by its type and its limits.
func fieldSchema(t *testing.T, f fact, typ reflect.Type) object {
	s := typeSchema(typ)
	if strings.Contains(f.kind, "or null") {
		s["type"] = []string{"number", "null"}
	}
	limit, ok := boundsOf(t, f.limits)
	switch {
	case !ok || s["enum"] != nil:
	case limit.unit == "id":
		s["pattern"] = "^[A-Za-z0-9_-]{1,64}$"
	case limit.unit == "hex":
		s["pattern"] = fmt.Sprintf("^[0-9a-fA-F]{%d}$", limit.max)
	case limit.unit == "bytes" && s["type"] == "string":
		s["minLength"], s["maxLength"] = limit.min, limit.max
	case limit.unit == "bytes":
		s["x-max-bytes"] = limit.max
	case s["type"] == "array":
		s["maxItems"] = limit.max
	case limit.unit == "elements":
		s["maxProperties"] = limit.max
	default:
		s["minimum"], s["maximum"] = limit.min, limit.max
	}
	return s
}

func typeSchema(typ reflect.Type) object {
	switch typ {
	case reflect.TypeFor[Time]():
		return object{"type": []string{"string", "null"}, "format": "date-time"}
	case reflect.TypeFor[Lane]():
		return object{"type": "string", "enum": []string{laneNames[LaneLive], laneNames[LaneBacklog]}}
	case reflect.TypeFor[gateway.ClockQuality]():
		names := []string{}
		for q := gateway.ClockNone; q <= gateway.ClockNTP; q++ {
			names = append(names, q.String())
		}
		return object{"type": "string", "enum": names}
	}
	switch kind := kindName(typ); kind {
	case "16 bytes":
		return object{"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}
	case "text", "bytes":
		return object{"type": "string"}
	case "bool":
		return object{"type": "boolean"}
	case "int", "growth":
		return object{"type": "integer"}
	case "uint":
		return object{"type": "integer", "minimum": 0}
	case "number":
		return object{"type": "number"}
	case "JSON":
		return object{}
	case "object of numbers":
		return object{"type": "object", "additionalProperties": object{"type": "number"}}
	}
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Slice {
		return object{"type": "array", "items": typeSchema(typ.Elem())}
	}
	return object{"allOf": []any{ref("components", "schemas", camel(titleOf(typ)))}}
}

func closeCodes(t *testing.T) []any {
	var codes []any
	for _, row := range rowsUnder(t, "Code") {
		code, _ := strconv.Atoi(row[0])
		codes = append(codes, object{"code": code, "sender": row[1], "meaning": row[2], "gateway": row[3]})
	}
	return codes
}

// Every golden message in JSON is what the schemas say, as far as they go.
func TestGoldenMessagesFitTheSchemas(t *testing.T) {
	doc := asyncAPI(t)
	b, err := json.Marshal(doc["components"].(object)["schemas"])
	if err != nil {
		t.Fatal(err)
	}
	var schemas object
	if err := json.Unmarshal(b, &schemas); err != nil {
		t.Fatal(err)
	}
	for name, m := range inJSON() {
		text, err := JSON.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		if err := conforms(schemas, ref("components", "schemas", camel(titleOf(reflect.TypeOf(m).Elem()))), v); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// conforms checks a value against the part of JSON Schema that is used here.
func conforms(schemas, s object, v any) error {
	if all, ok := s["allOf"].([]any); ok {
		s = all[0].(object)
	}
	if r, ok := s["$ref"].(string); ok {
		s = schemas[r[strings.LastIndexByte(r, '/')+1:]].(object)
	}
	if want, ok := s["const"]; ok && want != v {
		return fmt.Errorf("%v is not %v", v, want)
	}
	if !typeFits(s["type"], v) {
		return fmt.Errorf("%v (%T) is not %v", v, v, s["type"])
	}
	switch v := v.(type) {
	case []any:
		return listConforms(schemas, s, v)
	case object:
		return objectConforms(schemas, s, v)
	}
	return nil
}

func typeFits(want, v any) bool {
	name := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Float64: "number",
		reflect.Slice: "array", reflect.Map: "object"}[reflect.ValueOf(v).Kind()]
	if v == nil {
		name = "null"
	}
	switch want := want.(type) {
	case nil:
		return true
	case string:
		return want == name || want == "integer" && name == "number"
	case []any:
		return slices.Contains(want, any(name))
	}
	return false
}

func listConforms(schemas, s object, list []any) error {
	places, fixed := s["items"].([]any)
	if fixed && len(places) != len(list) {
		return fmt.Errorf("%d elements, want %d", len(list), len(places))
	}
	for i, v := range list {
		item := s["items"]
		if fixed {
			item = places[i]
		}
		if err := conforms(schemas, item.(object), v); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func objectConforms(schemas, s, v object) error {
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			return fmt.Errorf("%s is missing", name)
		}
	}
	properties, _ := s["properties"].(object)
	for name, in := range v {
		p, ok := properties[name].(object)
		if !ok {
			if p, ok = s["additionalProperties"].(object); !ok {
				if s["properties"] == nil {
					continue // anything
				}
				return fmt.Errorf("%s is not in the schema", name)
			}
		}
		if err := conforms(schemas, p, in); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
