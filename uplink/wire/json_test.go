package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
)

// goldenJSON holds what JSON alone can carry, beside what golden holds.
func goldenJSON() map[string]Message {
	row := Row{Device: "boiler", Quantity: "temperature", Value: ptr(61.5), Unit: "Cel", Timestamp: 1_700_000_000_123_000,
		Quality: "good", Time: "ntp"}
	odd := Row{Device: "boiler", Quantity: "temperature", Unit: "Cel", Timestamp: 1_700_000_000_124_000, Quality: "suspect", Time: "none"}
	return map[string]Message{
		"update_rows": &Update{Lane: LaneLive, Epoch: e1, First: 1001, N: 2, Readings: []Row{row, odd}},
		"update_rows_end": &Update{Lane: LaneBacklog, Epoch: e1, First: 1003, N: 1, Readings: []Row{row},
			End: &End{Closed: ptr(uint64(1003))}},
		"update_thinned_rows": &Update{Lane: LaneBacklog, Epoch: e1, First: 10, N: 60, ThinnedRows: []ThinnedRow{
			{Device: "boiler", Quantity: "temperature", Unit: "Cel", Timestamp: 1_700_000_040_000_000, IntervalS: 60, Count: 59,
				Min: ptr(-1.5), Max: ptr(2.0), Mean: ptr(0.25), Quality: "suspect", Time: "rtc"},
			{Device: "door", Quantity: "open", Timestamp: 1_700_000_040_000_000, IntervalS: 60, Count: 1, Quality: "good", Time: "rtc"},
		}},
		"bare": &Bare{Device: "sensor-001", Kind: "temperature_update", Value: ptr(23.5), Timestamp: 1_748_522_700_000_000},
		"bare_plain": &Bare{Kind: "update", Device: "boiler", Quantity: "temperature", Value: ptr(61.5),
			Unit: "Cel", Timestamp: 1_700_000_000_123_000, Quality: "good", Time: "ntp"},
		"bare_untyped":   &Bare{Device: "d", Value: ptr(1.0)},
		"bare_no_number": &Bare{Device: "d", Quantity: "q"},
	}
}

// inJSON are the messages of golden that JSON carries too, and its own.
func inJSON() map[string]Message {
	all := goldenJSON()
	for name, m := range golden() {
		if u, ok := m.(*Update); !ok || len(u.Blocks)+len(u.Thinned)+len(u.Packed) == 0 {
			all[name] = m
		}
	}
	return all
}

func TestGoldenJSON(t *testing.T) {
	for name, m := range inJSON() {
		file := filepath.Join("testdata", name+".json")
		b, err := JSON.Encode(m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if *update {
			if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, bytes.TrimSpace(want)) {
			t.Errorf("%s: encoded\n%s\nthe golden text is\n%s", name, b, want)
		}
		got, err := JSON.Decode(want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: decoded %+v, want %+v", name, got, m)
		}
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(inJSON()) {
		t.Errorf("%d golden files for %d messages (%v)", len(files), len(inJSON()), err)
	}
}

// What one encoding carries the other carries too, blocks and rows excepted.
func TestBothEncodingsCarryTheSame(t *testing.T) {
	for name, m := range inJSON() {
		if u, ok := m.(*Update); ok && len(u.Readings)+len(u.ThinnedRows) > 0 {
			continue
		}
		if _, ok := m.(*Bare); ok {
			continue
		}
		for _, way := range [][2]*Codec{{CBOR, JSON}, {JSON, CBOR}} {
			got := m
			for _, codec := range way {
				b, err := codec.Encode(got)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got, err = codec.Decode(b); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if !reflect.DeepEqual(got, m) {
				t.Errorf("%s: %+v became %+v", name, m, got)
			}
		}
	}
}

func TestAnEncodingRefusesWhatItCannotCarry(t *testing.T) {
	for name, m := range golden() {
		u, ok := m.(*Update)
		if !ok || len(u.Blocks)+len(u.Thinned)+len(u.Packed) == 0 {
			continue
		}
		if b, err := JSON.Encode(m); err == nil {
			t.Errorf("%s in JSON: %s", name, b)
		}
	}
	for name, m := range goldenJSON() {
		if b, err := CBOR.Encode(m); err == nil {
			t.Errorf("%s in CBOR: %x", name, b)
		}
	}
	for text, codec := range map[string]*Codec{
		`{"type":"update","lane":"live","epoch":"9f0102030405060708090a0b0c0d0e0f","first":1,"n":1,"blocks":["AQID"]}`: JSON,
		"a6" + "0003" + "0a01" + "0b509f0102030405060708090a0b0c0d0e0f" + "0c01" + "0d01" + "1281a0":                   CBOR,
	} {
		b := []byte(text)
		if codec == CBOR {
			b = unhex(t, text)
		}
		if m, err := codec.Decode(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	}
}

func TestDecodeJSONRefusesNonsense(t *testing.T) {
	const epoch = `"9f0102030405060708090a0b0c0d0e0f"`
	row := `{"device_id":"d","quantity":"q","value":1,"unit":"","timestamp":"2025-05-29T12:45:00.000Z","quality":"good","time":"ntp"}`
	rows := func(r string) string {
		return `{"type":"update","lane":"live","epoch":` + epoch + `,"first":1,"n":1,"readings":[` + r + `]}`
	}
	if _, err := JSON.Decode([]byte(rows(row))); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":                     "",
		"white space":               " ",
		"a list":                    "[]",
		"a number":                  "1",
		"null":                      "null",
		"half an object":            `{"type":"ping"`,
		"something behind":          `{"type":"ping","t0":1} x`,
		"two objects":               `{"type":"ping","t0":1}{"type":"ping","t0":1}`,
		"no type":                   `{"t0":1}`,
		"empty type":                `{"type":""}`,
		"type is a number":          `{"type":12,"t0":1}`,
		"type twice":                `{"type":"ping","type":"pong","t0":1}`,
		"key twice":                 `{"type":"ping","t0":1,"t0":2}`,
		"key twice, one escaped":    `{"type":"ping","t0":1,"\u00740":2}`,
		"unknown key twice":         `{"type":"ping","t0":1,"x":2,"x":2}`,
		"inner key twice":           `{"type":"ping","t0":1,"x":{"y":[{"a":1,"a":2}]}}`,
		"bad UTF-8":                 "{\"type\":\"ping\",\"t0\":1,\"x\":\"\xff\"}",
		"half a surrogate pair":     `{"type":"ping","t0":1,"x":"\ud800"}`,
		"a pair the wrong way":      `{"type":"ping","t0":1,"x":"\udc00\ud800"}`,
		"text for a number":         `{"type":"ping","t0":"1"}`,
		"fraction for a number":     `{"type":"ping","t0":1.5}`,
		"number beyond int64":       `{"type":"ping","t0":9223372036854775808}`,
		"nested too deep":           `{"type":"ping","t0":1,"x":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`,
		"nested far too deep":       strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000),
		"300 members":               manyMembers(300),
		"list of 257":               `{"type":"ack","epochs":[` + strings.Repeat("0,", 256) + `0]}`,
		"65,537 rows":               rows(strings.Repeat("{},", MaxBlockN) + "{}"),
		"beyond the limit":          `{"type":"ping","t0":1,"x":"` + strings.Repeat("x", MaxMessage) + `"}`,
		"short epoch":               `{"type":"nack","epoch":"9f","first":1,"n":1,"code":"block","retry":false}`,
		"epoch that is not hex":     `{"type":"nack","epoch":"` + strings.Repeat("x", 32) + `","first":1,"n":1,"code":"block","retry":false}`,
		"ack of two parts":          `{"type":"ack","epochs":[[` + epoch + `,1]]}`,
		"ack of four parts":         `{"type":"ack","epochs":[[` + epoch + `,1,true,1]]}`,
		"ack as an object":          `{"type":"ack","epochs":[{"epoch":` + epoch + `,"upto":1}]}`,
		"lane is a number":          strings.Replace(rows(row), `"live"`, `1`, 1),
		"lane is unknown":           strings.Replace(rows(row), `"live"`, `"fast"`, 1),
		"n is not the rows' number": strings.Replace(rows(row), `"n":1`, `"n":2`, 1),
		"row of a bad device":       rows(strings.Replace(row, `"d"`, `"d.e"`, 1)),
		"row without quantity":      rows(strings.Replace(row, `"quantity":"q",`, ``, 1)),
		"row of unknown quality":    rows(strings.Replace(row, `"good"`, `"fine"`, 1)),
		"row of unknown time":       rows(strings.Replace(row, `"ntp"`, `"gps"`, 1)),
		"row without timestamp":     rows(strings.Replace(row, `"timestamp":"2025-05-29T12:45:00.000Z",`, ``, 1)),
		"row with a long unit":      rows(strings.Replace(row, `"unit":""`, `"unit":"`+strings.Repeat("u", 65)+`"`, 1)),
		"value is a text":           rows(strings.Replace(row, `"value":1`, `"value":"1"`, 1)),
		"value beyond float64":      rows(strings.Replace(row, `"value":1`, `"value":1e400`, 1)),
		"bare of a bad device":      `{"device_id":"a b","value":1}`,
		"bare with a text":          `{"device_id":"a","value":"on"}`,
		"clock quality as a number": `{"type":"event","epoch":` + epoch + `,"seq":1,"kind":"boot","at":1,"anchor":{"quality":3}}`,
		"body nested too deep": `{"type":"event","epoch":` + epoch + `,"seq":1,"kind":"boot","at":1,"anchor":{},"body":` +
			strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`,
		"body too long": `{"type":"event","epoch":` + epoch + `,"seq":1,"kind":"boot","at":1,"anchor":{},"body":"` +
			strings.Repeat("x", MaxEventBody) + `"}`,
	} {
		if m, err := JSON.Decode([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	b.WriteString(`{"type":"ping","t0":1`)
	for i := range n {
		b.WriteString(`,"x` + strings.Repeat("y", i) + `":1`)
	}
	return b.String() + "}"
}

// v1 can grow, and JSON has many writers.
func TestDecodeJSONTakesWhatItMay(t *testing.T) {
	for text, want := range map[string]Message{
		` { "x" : [1,{"y":null}] , "t0" : 7 , "type" : "ping" } `: &Ping{T0: 7},
		`{"type":"\u0070ing","t\u0030":7}`:                        &Ping{T0: 7},
		`{"type":"ping","T0":9}`:                                  &Ping{}, // another key
		`{"type":"ping","t0":7,"T0":9}`:                           &Ping{T0: 7},
		`{"type":"ping","t0":7,"x":"\ud83d\ude00"}`:               &Ping{T0: 7},
		`{"type":"ping","t0":null}`:                               &Ping{},
		`{"type":"ack","epochs":null}`:                            &Ack{},
		`{"type":"status","health":[],"devices":[],"figures":{"Up":1}}`: &Status{Health: []Condition{},
			Devices: []StatusDevice{}, Figures: map[string]float64{"Up": 1}},
		`{"type":"command","id":"c","device_id":"d","action":"set","value":1,"ttl_ms":5000}`: &Command{ID: "c", Device: "d",
			Action: "set", Value: ptr(1.0), TTLMS: 5000},
		`{"type":"command","id":"c","device_id":"d","action":"a","ttl_ms":5,"args":{"A":1,"a":[true]}}`: &Command{ID: "c", Device: "d",
			Action: "a", TTLMS: 5, Args: json.RawMessage(`{"A":1,"a":[true]}`)},
		`{"type":"result","id":"c","state":"done","at":"2025-05-29T14:45:00.123456+02:00"}`: &Result{ID: "c",
			State: gateway.CommandDone, At: 1_748_522_700_123_000},
		`{"device_id":"d","value":true}`:                                               &Bare{Device: "d", Value: ptr(1.0)},
		`{"device_id":"d","value":false,"type":"update","epoch":"x","sensorName":"y"}`: &Bare{Device: "d", Kind: "update", Value: ptr(0.0)},
		`{"device_id":"d","value":null,"type":"whatever"}`:                             &Bare{Device: "d", Kind: "whatever"},
	} {
		if got, err := JSON.Decode([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	var unknown *UnknownTypeError
	if _, err := JSON.Decode([]byte(`{"type":"teleport","x":1}`)); !errors.As(err, &unknown) ||
		unknown.Name != "teleport" || errors.Is(err, ErrMalformed) {
		t.Errorf("unknown type: %v", err)
	}
}

func TestDecodeJSONLeavesItsInputAlone(t *testing.T) {
	text := []byte(`{"type":"ping","T0":9,"X":{"Y":1}}`)
	before := bytes.Clone(text)
	if _, err := JSON.Decode(text); err != nil || !bytes.Equal(text, before) {
		t.Errorf("%s (%v)", text, err)
	}
}

func TestListsAreNeverNullInJSON(t *testing.T) {
	for _, m := range []Message{&Hello{}, &Welcome{}, &Ack{}, &Status{}, &Status{Devices: []StatusDevice{{ID: "d"}}}} {
		b, err := JSON.Encode(m)
		for _, key := range []string{"epochs", "health", "devices", "channels"} {
			if err != nil || bytes.Contains(b, []byte(`"`+key+`":null`)) {
				t.Errorf("%s (%v)", b, err)
			}
		}
	}
}

func TestQuantityOfABareReading(t *testing.T) {
	for want, m := range map[string]Bare{
		"temperature": {Kind: "temperature_update"},
		"humidity":    {Kind: "temperature_update", Quantity: "humidity"},
		"value":       {Kind: "update"},
	} {
		if got := m.QuantityOr("value"); got != want {
			t.Errorf("%+v: %s, want %s", m, got, want)
		}
	}
}

// The shortest row that says all it must is not taken for nonsense.
func TestShortestRows(t *testing.T) {
	u := &Update{Lane: LaneLive, Epoch: e1, First: 1, N: 2000}
	for range u.N {
		u.Readings = append(u.Readings, Row{Device: "d", Quantity: "q", Value: ptr(1.0), Timestamp: 1, Quality: "good", Time: "ntp"})
	}
	b, err := JSON.Encode(u)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte(`"unit":"",`), nil)
	if m, err := JSON.Decode(b); err == nil || !strings.Contains(err.Error(), "timestamp is missing") {
		t.Errorf("%+v, %v", m, err) // 1 µs is no time in JSON
	}
	b = bytes.ReplaceAll(b, []byte(`1970-01-01T00:00:00.000Z`), []byte(`2025-05-29T12:45:00Z`))
	if _, err := JSON.Decode(b); err != nil {
		t.Error(err)
	}
}
