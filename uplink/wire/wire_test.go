package wire

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fieldgate/fieldgate/gateway"
)

var update = flag.Bool("update", false, "write the golden frames anew")

var (
	e1   = gateway.EpochID{0x9f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	e2   = gateway.EpochID{0xaa, 1: 0xbb, 15: 0xcc}
	boot = gateway.BootID{0xb0, 15: 7}
)

const hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func ptr[T any](v T) *T { return &v }

// golden holds one message of every kind and shape, named as its file.
func golden() map[string]Message {
	anchor := Anchor{Boot: boot, From: 12, Offset: 1_700_000_000_000_000, Quality: gateway.ClockNTP, ErrUS: 900}
	return map[string]Message{
		"hello": &Hello{
			GatewayID: "plant-7", InstallID: [16]byte{1, 15: 2}, BootID: boot,
			Epochs:   []HelloEpoch{{Epoch: e1, Oldest: 900, Last: 4800, Growth: gateway.OpenEnded, Acked: 1200}, {Epoch: e2, Oldest: 1}},
			Clock:    ClockState{Quality: gateway.ClockSession, Offset: 1_700_000_000_000_000, ErrMS: 40},
			Software: "fieldgate/0.1.0", Backlog: Backlog{N: 3600, Bytes: 5000, OldestTS: 1_700_000_000_000_000}, All: true,
		},
		"hello_first_ever": &Hello{GatewayID: "g", BootID: boot, Epochs: []HelloEpoch{{Epoch: e1, Oldest: 1}}, Software: "x/1", All: true},
		"hello_ends": &Hello{GatewayID: "g", BootID: boot,
			Epochs: []HelloEpoch{{Epoch: e1, Oldest: 1, Last: 9, Growth: gateway.OpenEnded}, {Epoch: e2, Oldest: 1}}, Ends: []uint32{670244178, 0}},
		"welcome": &Welcome{
			Session: "s-1", Gen: 77120, Time: 1_700_000_000_000_000, Level: LevelFsynced,
			Epochs: []EpochAck{{Epoch: e1, Upto: 1180}, {Epoch: e2}}, HB: Heartbeat{PingS: 30, Miss: 2},
			Lim: Limits{Msg: DefaultMessage, BlockN: MaxBlockN, BlockRaw: MaxBlockRaw}, SpreadS: 20, RetainS: 600,
		},
		"update_live":    &Update{Lane: LaneLive, Epoch: e2, First: 1, N: 5, Blocks: [][]byte{{1, 2, 3}, {4}}},
		"update_packed":  &Update{Lane: LaneLive, Epoch: e2, First: 6, N: 5, Packed: []byte{1, 2, 3}},
		"update_thinned": &Update{Lane: LaneBacklog, Epoch: e1, First: 10, N: 90, Thinned: []byte{1, 2, 3}},
		"update_gap": &Update{Lane: LaneBacklog, Epoch: e1, First: 10, N: 90,
			Gap: &Gap{Why: gateway.WhyCardFailed, T0: 5, T1: 9, Anchor: anchor}},
		"update_closed":     &Update{Lane: LaneBacklog, Epoch: e1, First: 8, End: &End{Closed: ptr(uint64(7))}},
		"update_closed_at0": &Update{Lane: LaneBacklog, Epoch: e1, First: 1, End: &End{Closed: ptr(uint64(0))}},
		"update_with_end":   &Update{Lane: LaneBacklog, Epoch: e1, First: 8, N: 2, Blocks: [][]byte{{9}}, End: &End{Closed: ptr(uint64(9))}},
		"update_open_end": &Update{Lane: LaneBacklog, Epoch: e1, First: 4801,
			End: &End{Why: gateway.WhyUncleanStop, AtMost: 100, T0: 3, T1: 4, Anchor: &anchor}},
		"ack": &Ack{Epochs: []EpochAck{{Epoch: e1, Upto: 4700}, {Epoch: e2, Upto: 400, Done: true}}}, "ack_nothing": &Ack{Epochs: []EpochAck{}},
		"nack_seq":   &Nack{Epoch: e1, First: 1300, N: 20, Code: NackSeq, Retry: true, Expected: 1181},
		"nack_block": &Nack{Epoch: e1, First: 1300, N: 20, Code: NackBlock},
		"nack_later": &Nack{Epoch: e1, First: 1300, N: 20, Code: "storage", Retry: true, AfterMS: 5000},
		"ping":       &Ping{T0: 1}, "pong": &Pong{T0: 1, T1: -2, T2: 3}, "error": &Error{Code: "unknown_type", Message: "type 99", Ref: "r"},
		"hello_full": &Hello{
			GatewayID: "plant-7", InstallID: [16]byte{1, 15: 2}, BootID: boot,
			Epochs: []HelloEpoch{{Epoch: e2, Oldest: 4, Last: 3, Growth: gateway.Closed, Acked: 3}},
			Events: &HelloEvents{Epoch: e2, Next: 12, Acked: 9}, Software: "fieldgate/0.1.0", Caps: []string{"commands", "config"},
			Cfg: &ConfigState{Ver: 4, Hash: hash}, Backlog: Backlog{N: 1, Bytes: 2, OldestTS: -5_000},
		},
		"welcome_full": &Welcome{
			Session: "s-1", Gen: 1, Time: 1_700_000_000_123_000, Level: LevelReplicated, Epochs: []EpochAck{},
			Events: &EventAck{Epoch: e2, Upto: 11}, Lim: Limits{Msg: MinMessage, Rate: 8000}, Win: &Windows{Ev: Window{Msgs: 16, Bytes: 65536},
				Live: Window{Msgs: 8, Bytes: 262144}, Back: Window{}}, Cfg: &ConfigState{Ver: 5, Hash: hash},
		},
		"event": &Event{Epoch: e2, Seq: 12, Kind: gateway.EventAlarm, At: 77, Device: "boiler",
			Body: json.RawMessage(`{"id":"overheat","Above":[85,null,"<\u00b0>"]}`), Anchor: anchor},
		"event_least": &Event{Epoch: e2, Seq: 1, Kind: gateway.EventBoot, At: -1, Anchor: Anchor{Boot: boot}},
		"event_many": &Event{Epoch: e2, Seq: 9, Kind: gateway.EventSensor, At: 78, Body: json.RawMessage(`"x"`),
			Volatile: true, Anchor: anchor, N: 14},
		"ack_full": &Ack{Epochs: []EpochAck{{Epoch: e1, Upto: 1}}, Events: &EventAck{}, Win: &Windows{}, Why: "storage"},
		"status": &Status{
			Health: []Condition{{Code: "sensor_absent", Subject: "boiler", Severity: "error",
				Sentence: "The sensor “boiler” does not answer.", Since: 1_700_000_000_000_000}},
			Devices: []StatusDevice{{ID: "boiler", Channels: []StatusChannel{{Quantity: "temperature", Unit: "Cel"}}, Online: true},
				{ID: "pump", Channels: []StatusChannel{}}}, Figures: map[string]float64{"rss_mib": 21.5, "load": 0},
		},
		"status_empty": &Status{Health: []Condition{}, Devices: []StatusDevice{}},
		"command": &Command{
			ID: "c-17", Device: "pump", Action: "set", Value: ptr(1.0), Args: json.RawMessage(`{"ramp_s":5}`), Expires: 1_700_000_060_000_000,
			TTLMS: 60_000, Once: true, Seq: 3, LeaseMS: 1000,
		},
		"command_least": &Command{ID: "c-18", Device: "door", Action: "open"},
		"result":        &Result{ID: "c-17", State: gateway.CommandFailed, Value: ptr(0.0), Error: "the line is busy", At: 1_700_000_001_000_000},
		"result_least":  &Result{ID: "c-18", State: gateway.CommandAccepted},
		"config":        &Config{Ver: 5, Hash: hash, Doc: "version = 1\n[gateway]\nid = \"plant-7\"\n", ConfirmS: 120},
		"reported":      &Reported{Ver: 5, Hash: hash, State: "rejected", Errors: []string{"line 3: unknown key <x>"}},
		"drain":         &Drain{AfterMS: 1500, SpreadMS: 60_000, Reason: "deploy", URL: "wss://other.example.com/v1/gateway"},
		"drain_least":   &Drain{},
		"bye":           &Bye{Reason: "reboot", NextS: 90},
	}
}

// The sum that names an open gap is that of PROTOCOL.md's example.
func TestSumOfAnEnd(t *testing.T) {
	if sum := (&End{Why: "unclean_stop", AtMost: 100, T0: 9, T1: 12}).Sum(); sum != 670244178 {
		t.Errorf("the sum is %d", sum)
	}
	if sum := (&End{Closed: ptr(uint64(7))}).Sum(); sum != 0 {
		t.Errorf("an orderly end has the sum %d", sum)
	}
}

// The frames in testdata are the protocol: gateways in the field speak them.
func TestGoldenFrames(t *testing.T) {
	for name, m := range golden() {
		file := filepath.Join("testdata", name+".hex")
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := unhex(t, string(text))
		if !reflect.DeepEqual(b, want) {
			t.Errorf("%s: encoded\n%x, the golden frame is\n%x", name, b, want)
		}
		got, err := Decode(want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: decoded %+v, want %+v", name, got, m)
		}
	}
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) != len(golden()) {
		t.Errorf("%d golden files for %d messages (%v)", len(files), len(golden()), err)
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(text), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeRefusesNonsense(t *testing.T) {
	bad := map[string]Message{
		"gateway id with a dot":    &Hello{GatewayID: "a.b"},
		"gateway id missing":       &Hello{},
		"epoch named twice":        &Hello{GatewayID: "g", Epochs: []HelloEpoch{{Epoch: e1, Oldest: 1}, {Epoch: e1, Oldest: 1}}},
		"oldest 0":                 &Hello{GatewayID: "g", Epochs: []HelloEpoch{{Epoch: e1}}},
		"oldest far behind last":   &Hello{GatewayID: "g", Epochs: []HelloEpoch{{Epoch: e1, Oldest: 9, Last: 7}}},
		"growth 3":                 &Hello{GatewayID: "g", Epochs: []HelloEpoch{{Epoch: e1, Oldest: 1, Growth: 3}}},
		"acked beyond 2^63":        &Hello{GatewayID: "g", Epochs: []HelloEpoch{{Epoch: e1, Oldest: 1, Acked: 1 << 63}}},
		"hello with 257 epochs":    &Hello{GatewayID: "g", Epochs: manyEpochs(257)},
		"clock quality 9":          &Hello{GatewayID: "g", Clock: ClockState{Quality: 9}},
		"sw of 200 bytes":          &Hello{GatewayID: "g", Software: strings.Repeat("x", 200)},
		"welcome without level":    &Welcome{Session: "s"},
		"welcome without session":  &Welcome{Level: LevelFsynced},
		"limit of 10 bytes":        &Welcome{Session: "s", Level: LevelFsynced, Lim: Limits{Msg: 10}},
		"limit of 2 MiB":           &Welcome{Session: "s", Level: LevelFsynced, Lim: Limits{Msg: 2 << 20}},
		"ping every -1 s":          &Welcome{Session: "s", Level: LevelFsynced, HB: Heartbeat{PingS: -1}},
		"spread of a year":         &Welcome{Session: "s", Level: LevelFsynced, SpreadS: 365 * 86400},
		"welcome upto beyond 2^63": &Welcome{Session: "s", Level: LevelFsynced, Epochs: []EpochAck{{Epoch: e1, Upto: 1 << 63}}},
		"no lane":                  &Update{Epoch: e1, First: 1, N: 1, Blocks: [][]byte{{1}}},
		"first 0":                  &Update{Lane: LaneLive, Epoch: e1, First: 0, N: 1, Blocks: [][]byte{{1}}},
		"first+n wraps":            &Update{Lane: LaneLive, Epoch: e1, First: 9, N: 1<<64 - 4, Blocks: [][]byte{{1}}},
		"blocks and gap":           &Update{Lane: LaneLive, Epoch: e1, First: 1, N: 1, Blocks: [][]byte{{1}}, Gap: &Gap{Why: "x"}},
		"blocks without readings":  &Update{Lane: LaneLive, Epoch: e1, First: 1, N: 0, Blocks: [][]byte{{1}}},
		"more readings than fit":   &Update{Lane: LaneLive, Epoch: e1, First: 1, N: MaxBlockN + 1, Blocks: [][]byte{{1}}},
		"empty block":              &Update{Lane: LaneLive, Epoch: e1, First: 1, N: 1, Blocks: [][]byte{{}}},
		"257 blocks":               &Update{Lane: LaneLive, Epoch: e1, First: 1, N: 257, Blocks: manyBlocks(257)},
		"blocks and thinned":       &Update{Lane: LaneLive, Epoch: e1, First: 1, N: 1, Blocks: [][]byte{{1}}, Thinned: []byte{1}},
		"thinned and gap":          &Update{Lane: LaneLive, Epoch: e1, First: 1, N: 1, Thinned: []byte{1}, Gap: &Gap{Why: "x"}},
		"thinned nothing":          &Update{Lane: LaneLive, Epoch: e1, First: 1, Thinned: []byte{1}},
		"gap of nothing":           &Update{Lane: LaneLive, Epoch: e1, First: 1, Gap: &Gap{Why: "x"}},
		"gap for no reason":        &Update{Lane: LaneLive, Epoch: e1, First: 1, N: 1, Gap: &Gap{}},
		"update of nothing":        &Update{Lane: LaneLive, Epoch: e1, First: 1},
		"readings without blocks":  &Update{Lane: LaneLive, Epoch: e1, First: 1, N: 4, End: &End{Closed: ptr(uint64(4))}},
		"closed before its last":   &Update{Lane: LaneLive, Epoch: e1, First: 5, End: &End{Closed: ptr(uint64(3))}},
		"open end without anchor":  &Update{Lane: LaneLive, Epoch: e1, First: 5, End: &End{Why: "x"}},
		"open end without reason":  &Update{Lane: LaneLive, Epoch: e1, First: 5, End: &End{Anchor: &Anchor{}}},
		"ack beyond 2^63":          &Ack{Epochs: []EpochAck{{Upto: 1 << 63}}},
		"nack without code":        &Nack{},
		"nack seq, expected none":  &Nack{Code: NackSeq},
		"nack into the past":       &Nack{Code: NackBlock, AfterMS: -1},

		"hello without an epoch":    &Hello{GatewayID: "g", Epochs: []HelloEpoch{{Oldest: 1}}},
		"update without an epoch":   &Update{Lane: LaneLive, First: 1, N: 1, Blocks: [][]byte{{1}}},
		"event without an epoch":    &Event{Seq: 1, Kind: "boot"},
		"33 caps":                   &Hello{GatewayID: "g", Caps: strings.Split(strings.Repeat("c ", 32)+"c", " ")},
		"cap with a space":          &Hello{GatewayID: "g", Caps: []string{"a b"}},
		"events next 0":             &Hello{GatewayID: "g", Events: &HelloEvents{Epoch: e1}},
		"config hash too short":     &Hello{GatewayID: "g", Cfg: &ConfigState{Ver: 1, Hash: "ab"}},
		"backlog beyond 2^63":       &Hello{GatewayID: "g", Backlog: Backlog{N: 1 << 63}},
		"oldest in the year 10000":  &Hello{GatewayID: "g", Backlog: Backlog{OldestTS: maxTime + 1}},
		"time before the year 1":    &Welcome{Session: "s", Level: LevelFsynced, Time: minTime - 1},
		"gen beyond 2^63":           &Welcome{Session: "s", Level: LevelFsynced, Gen: 1 << 63},
		"window of -1":              &Welcome{Session: "s", Level: LevelFsynced, Win: &Windows{Live: Window{Msgs: -1, Bytes: 0}}},
		"window of 2 GiB":           &Ack{Win: &Windows{Back: Window{Msgs: 1, Bytes: 2 << 30}}},
		"rate of -1":                &Welcome{Session: "s", Level: LevelFsynced, Lim: Limits{Rate: -1}},
		"events upto beyond 2^63":   &Ack{Events: &EventAck{Upto: 1 << 63}},
		"open end of 2^63 readings": &Update{Lane: LaneLive, Epoch: e1, First: 5, End: &End{Why: "x", AtMost: 1 << 63, Anchor: &Anchor{}}},
		"gap with a bad anchor":     &Update{Lane: LaneLive, Epoch: e1, First: 1, N: 1, Gap: &Gap{Why: "x", Anchor: Anchor{Quality: 4}}},
		"nack of a range beyond":    &Nack{Code: NackBlock, N: 1 << 63},
		"event 0":                   &Event{Epoch: e1, Kind: "boot"},
		"event of no kind":          &Event{Epoch: e1, Seq: 1},
		"event of a bad device":     &Event{Epoch: e1, Seq: 1, Kind: "boot", Device: "a b"},
		"event with half a body":    &Event{Epoch: e1, Seq: 1, Kind: "boot", Body: json.RawMessage(`{"a":`)},
		"event with a key twice":    &Event{Epoch: e1, Seq: 1, Kind: "boot", Body: json.RawMessage(`{"a":1,"a":2}`)},
		"event with bad UTF-8":      &Event{Epoch: e1, Seq: 1, Kind: "boot", Body: json.RawMessage("\"\xff\"")},
		"event with a deep body": &Event{Epoch: e1, Seq: 1, Kind: "boot",
			Body: json.RawMessage(strings.Repeat("[", 8) + strings.Repeat("]", 8))},
		"event with a long body": &Event{Epoch: e1, Seq: 1, Kind: "boot",
			Body: json.RawMessage(`"` + strings.Repeat("x", MaxEventBody) + `"`)},
		"event with an error of -1":  &Event{Epoch: e1, Seq: 1, Kind: "boot", Anchor: Anchor{ErrUS: -1}},
		"65 figures":                 &Status{Devices: []StatusDevice{}, Figures: manyFigures(65)},
		"condition without a code":   &Status{Health: []Condition{{Severity: "error"}}},
		"condition with a long text": &Status{Health: []Condition{{Code: "c", Severity: "error", Sentence: strings.Repeat("x", 1025)}}},
		"device without an id":       &Status{Devices: []StatusDevice{{}}},
		"device with a bad quantity": &Status{Devices: []StatusDevice{{ID: "d", Channels: []StatusChannel{{Quantity: "a.b"}}}}},
		"unit of 65 bytes": &Status{Devices: []StatusDevice{{ID: "d",
			Channels: []StatusChannel{{Quantity: "q", Unit: strings.Repeat("u", 65)}}}}},
		"figure that is no number":   &Status{Figures: map[string]float64{"x": math.NaN()}},
		"command without an id":      &Command{Device: "d", Action: "a"},
		"command to nobody":          &Command{ID: "c", Action: "a"},
		"command to do nothing":      &Command{ID: "c", Device: "d"},
		"command set to infinity":    &Command{ID: "c", Device: "d", Action: "set", Value: ptr(math.Inf(1))},
		"command of eight days":      &Command{ID: "c", Device: "d", Action: "set", TTLMS: 8 * 86400_000},
		"command with a lease of -1": &Command{ID: "c", Device: "d", Action: "set", LeaseMS: -1},
		"command with bad args":      &Command{ID: "c", Device: "d", Action: "set", Args: json.RawMessage("x")},
		"command seq beyond 2^63":    &Command{ID: "c", Device: "d", Action: "set", Seq: 1 << 63},
		"result without a state":     &Result{ID: "c"},
		"result that is no number":   &Result{ID: "c", State: "done", Value: ptr(math.NaN())},
		"result with a long error":   &Result{ID: "c", State: "failed", Error: strings.Repeat("x", 1025)},
		"config version 0":           &Config{Hash: hash},
		"config without a hash":      &Config{Ver: 1},
		"config that is too long":    &Config{Ver: 1, Hash: hash, Doc: strings.Repeat("x", MaxConfigDoc+1)},
		"config to confirm in years": &Config{Ver: 1, Hash: hash, ConfirmS: 1e6},
		"reported as nothing known":  &Reported{Hash: hash, State: "fine"},
		"reported without a hash":    &Reported{State: "applied"},
		"reported 65 errors":         &Reported{Hash: hash, State: "rejected", Errors: make([]string, 65)},
		"reported a long error":      &Reported{Hash: hash, State: "rejected", Errors: []string{strings.Repeat("x", 1025)}},
		"drain of years":             &Drain{AfterMS: 1 << 40},
		"drain of -1":                &Drain{SpreadMS: -1},
		"drain with a long reason":   &Drain{Reason: strings.Repeat("x", 257)},
		"bye until -1":               &Bye{NextS: -1},
		"bye with a long reason":     &Bye{Reason: strings.Repeat("x", 257)},
	}
	for name, m := range bad {
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func manyEpochs(n int) []HelloEpoch {
	es := make([]HelloEpoch, n)
	for i := range es {
		es[i] = HelloEpoch{Epoch: gateway.EpochID{byte(i), byte(i >> 8), 1}, Oldest: 1}
	}
	return es
}

func manyFigures(n int) map[string]float64 {
	m := make(map[string]float64, n)
	for i := range n {
		m["f"+strconv.Itoa(i)] = 1
	}
	return m
}

func manyBlocks(n int) [][]byte {
	bs := make([][]byte, n)
	for i := range bs {
		bs[i] = []byte{1}
	}
	return bs
}

func TestDecodeTakesFullLists(t *testing.T) {
	for _, m := range []Message{
		&Hello{GatewayID: "g", Epochs: manyEpochs(MaxHelloEpochs)},
		&Update{Lane: LaneLive, Epoch: e1, First: 1, N: MaxBlocks, Blocks: manyBlocks(MaxBlocks)},
	} {
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b); err != nil {
			t.Errorf("%T: %v", m, err)
		}
	}
}

func TestDecodeRefusesBadCBOR(t *testing.T) {
	deep := any(1)
	for range 12 {
		deep = []any{deep}
	}
	for name, v := range map[string]any{
		"nested too deep":      map[int]any{0: 12, 10: 1, 99: deep},
		"text for a number":    map[int]any{0: 12, 10: "x"},
		"short epoch":          map[int]any{0: 3, 10: 1, 11: []byte{1, 2, 3}, 12: 1, 13: 1, 14: [][]byte{{1}}},
		"no map":               []int{1},
		"type is text":         map[int]any{0: "ping"},
		"short ack":            map[int]any{0: 5, 10: []any{[]any{e1[:], 3}}},
		"bytes beyond a limit": make([]byte, MaxMessage+1),
	} {
		b, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := Decode(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
	for name, frame := range map[string]string{
		"empty":            "",
		"duplicate key":    "a3000c0a010a02",
		"indefinite map":   "bf000c0a01ff",
		"tagged":           "a2000c0ac101",
		"trailing byte":    "a2000c0a0100",
		"empty packed":     "a700030a010b509f0102030405060708090a0b0c0d0e0f0c010d010e8141011440",
		"empty thinned":    "a700030a010b509f0102030405060708090a0b0c0d0e0f0c010d010e8141011040",
		"claims 2^32 keys": "ba ff ff ff ff 00 0c",
	} {
		if m, err := Decode(unhex(t, frame)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
}

// v1 can grow: what is new in a message is ignored, a new message is named.
func TestDecodeOfALaterVersion(t *testing.T) {
	b, _ := cbor.Marshal(map[int]any{0: 12, 10: 7, 77: "new", 78: []int{1}})
	if m, err := Decode(b); err != nil || *m.(*Ping) != (Ping{T0: 7}) {
		t.Errorf("unknown fields: %+v, %v", m, err)
	}
	b, _ = cbor.Marshal(map[int]any{0: 99, 10: 7})
	var unknown *UnknownTypeError
	if _, err := Decode(b); !errors.As(err, &unknown) || unknown.Type != 99 || errors.Is(err, ErrMalformed) {
		t.Errorf("unknown type: %v", err)
	}
}

func TestReactions(t *testing.T) {
	for code, want := range map[int]Reaction{
		1009: {Halve: true}, 1011: {}, 1008: {Wait: WaitSlow}, 4321: {},
		CloseUnauthorised: {Wait: WaitAuth}, CloseForbidden: {Wait: WaitAuth},
		CloseSuperseded: {Wait: WaitTakeover}, CloseConflict: {Wait: WaitAuth, Alarm: true},
		CloseVersion: {Wait: WaitSlow, Alarm: true}, CloseTooMuch: {}, CloseUndecodable: {},
	} {
		got := ReactionTo(code)
		if got.Say == "" {
			t.Errorf("%d has no words", code)
		}
		if got.Say = ""; got != want {
			t.Errorf("%d: %+v, want %+v", code, got, want)
		}
	}
	for reason, want := range map[string]time.Duration{
		`{"after":30}`: 30 * time.Second, `{"after":0.5}`: 500 * time.Millisecond,
		"": 0, "busy": 0, `{"after":-3}`: 0, `{"after":1e99}`: 0, `{"after":"x"}`: 0,
	} {
		if got := RetryHint(reason); got != want {
			t.Errorf("%q: %v, want %v", reason, got, want)
		}
	}
}
