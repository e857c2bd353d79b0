package store_test

import (
	"archive/zip"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/store"
)

// A sampleTold is what the program that wrote a sample said of it, before it
// was packed.
type sampleTold struct {
	Install     string                  `json:"install"`
	CloudTime   time.Time               `json:"cloud_time"`
	Kept        []byte                  `json:"kept"`
	Epochs      []gateway.EpochState    `json:"epochs"`
	Events      []gateway.Event         `json:"events"` // the newest first
	EventsAcked gateway.Name            `json:"events_acked"`
	Commands    []gateway.CommandRecord `json:"commands"`
	Stored      uint64                  `json:"stored"`
	Journal     uint64                  `json:"journal"`
	Unacked     uint64                  `json:"unacked"`
	Gaps        uint64                  `json:"gaps"`
}

// A sampleLine is a line of `buffer export` of that version: a reading, or readings that are
// missing, or that the cloud alone has.
type sampleLine struct {
	gateway.Name
	Device   string      `json:"device_id"`
	Quantity string      `json:"quantity"`
	Value    float64     `json:"value"`
	Time     time.Time   `json:"timestamp"`
	Cloud    uint64      `json:"cloud"`
	Missing  uint64      `json:"missing"`
	Why      gateway.Why `json:"why"`
}

// UnmarshalJSON reads the name as the export writes it.
func (l *sampleLine) UnmarshalJSON(text []byte) error {
	type plain sampleLine
	in := struct {
		*plain
		Epoch gateway.EpochID `json:"epoch"`
		Seq   uint64          `json:"seq"`
	}{plain: (*plain)(l)}
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	l.Name = gateway.Name{Epoch: in.Epoch, Seq: in.Seq}
	return nil
}

// A sample is a store that an earlier version wrote, with what it told.
type sample struct {
	dir   string // the store's folder
	told  sampleTold
	lines map[gateway.Name]sampleLine
}

// unpackSample unpacks testdata/NAME.zip.
//
// ea0f42d is from the programs of that commit: `fieldgate run` with six
// simulated devices and `fieldgate-cloud run`. The gateway delivered, lost its
// cloud, was killed (kill -9) in the outage, started and stopped in order,
// delivered, was killed again, took three commands, and went on without the
// cloud. Then one byte of its newest volume was changed and `fieldgate buffer
// repair` was run; after that the gateway was killed twice more.
func unpackSample(t *testing.T, name string) *sample {
	t.Helper()
	dir := t.TempDir()
	r, err := zip.OpenReader(filepath.Join("testdata", name+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.CopyFS(dir, r); err != nil {
		t.Fatal(err)
	}
	s := &sample{dir: filepath.Join(dir, "store"), lines: map[gateway.Name]sampleLine{}}
	text, err := os.ReadFile(filepath.Join(dir, "store.json"))
	if err == nil {
		err = json.Unmarshal(text, &s.told)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile(filepath.Join(dir, "export.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for row := range bytes.Lines(text) {
		var l sampleLine
		if err := json.Unmarshal(row, &l); err != nil {
			t.Fatal(err)
		}
		if _, twice := s.lines[l.Name]; twice {
			t.Fatalf("the sample names %v twice", l.Name)
		}
		s.lines[l.Name] = l
	}
	return s
}

// readings counts the lines that are readings.
func (s *sample) readings() (n uint64) {
	for _, l := range s.lines {
		if l.Device != "" {
			n++
		}
	}
	return n
}

// wantSame says that the store tells what the old program told.
func (s *sample) wantSame(t *testing.T, now *store.Store) {
	t.Helper()
	epochs, st := now.Epochs(), now.Stats()
	if epochs = epochs[:len(epochs)-1]; !reflect.DeepEqual(epochs, s.told.Epochs) { // the last is that of this look
		t.Errorf("epochs\n%+v, were\n%+v", epochs, s.told.Epochs)
	}
	if st.Stored != s.told.Stored || st.Journal != s.told.Journal || st.Unacked != s.told.Unacked || st.Gaps != s.told.Gaps {
		t.Errorf("%+v, were %+v", st, s.told)
	}
	if events := now.Events(len(s.told.Events) + 1); !reflect.DeepEqual(events, s.told.Events) {
		t.Errorf("events\n%+v, were\n%+v", events, s.told.Events)
	}
	if _, acked := now.LastEvent(); acked != s.told.EventsAcked {
		t.Errorf("events acknowledged to %v, was %v", acked, s.told.EventsAcked)
	}
	for _, was := range s.told.Commands {
		if c, known := now.Command(was.ID); !known || !reflect.DeepEqual(c, was) {
			t.Errorf("command %+v, was %+v", c, was)
		}
	}
	id := now.InstallID()
	if hex.EncodeToString(id[:]) != s.told.Install || !now.CloudTime().Equal(s.told.CloudTime) || !bytes.Equal(now.Kept(), s.told.Kept) {
		t.Errorf("install id %x, cloud time %v, note %q", id, now.CloudTime(), now.Kept())
	}
}

// walked gives every line that a walk through the store comes upon.
func walked(t *testing.T, s *store.Store) map[gateway.Name]sampleLine {
	t.Helper()
	found := map[gateway.Name]sampleLine{}
	for _, e := range s.Epochs() {
		err := s.Walk(t.Context(), e.ID, func(b store.Stretch) error {
			for i, r := range b.Readings {
				n := gateway.Name{Epoch: e.ID, Seq: b.First + uint64(i)}
				found[n] = sampleLine{Name: n, Device: r.Channel.Device, Quantity: r.Channel.Quantity, Value: r.Value, Time: b.Header.Anchor.Wall(r.At)}
			}
			if b.Gap != nil && b.N > 0 {
				n := gateway.Name{Epoch: e.ID, Seq: b.First}
				found[n] = sampleLine{Name: n, Missing: b.N, Why: b.Gap.Why}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// A store that an earlier version left after a kill is looked at without a
// change of it, and says what that version said.
func TestEarlierStoreIsRead(t *testing.T) {
	s := unpackSample(t, "ea0f42d")
	o := testOptions(s.dir, clock.NewFake(gateway.BootID{1}))
	look, err := store.Inspect(o)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Leave()
	s.wantSame(t, look)
	found := walked(t, look)
	for n, was := range s.lines {
		l := found[n]
		if was.Time.Sub(l.Time).Abs() > time.Microsecond || l.Value != was.Value || l.Device != was.Device || l.Quantity != was.Quantity {
			t.Fatalf("%v is %+v, was %+v", n, l, was)
		}
		if was.Why != l.Why || was.Missing+was.Cloud != l.Missing {
			t.Fatalf("%v is %+v, was %+v", n, l, was)
		}
	}
	if len(found) != len(s.lines) {
		t.Errorf("%d readings and gaps, were %d", len(found), len(s.lines))
	}
}

// A store of an earlier version goes on: with what it held and new readings it
// is delivered to a cloud that has nothing, over a crash and an orderly stop.
// Nothing is missing, nothing comes twice, and the gaps are those it had.
func TestSampleOfAnEarlierVersionGoesOn(t *testing.T) {
	s := unpackSample(t, "ea0f42d")
	added := map[gateway.EpochID]uint64{}
	cloud := newReceiver(t)
	inStore(t, func(o *store.Options) { o.Dir = s.dir }, func(b *bench) {
		for range 2 {
			last := b.append(700)
			added[last.Epoch] = last.Seq
			b.sleep(6 * time.Second)
			b.crash()
			b.open()
		}
		last := b.append(5000)
		added[last.Epoch] = last.Seq
		b.close()
		b.open()
		cloud.welcome(b.s)
		last = b.append(300)
		added[last.Epoch] = last.Seq
		cloud.drain(b.s, -1)
		for _, c := range s.told.Commands {
			if _, known := b.s.Command(c.ID); !known {
				t.Errorf("command %s is not known any more", c.ID)
			}
		}
	})
	s.wantDelivered(t, cloud, added)
}

// wantDelivered says that the receiver has the readings of the sample and
// those that were added, and no others.
func (s *sample) wantDelivered(t *testing.T, cloud *receiver, added map[gateway.EpochID]uint64) {
	t.Helper()
	held, want := uint64(0), s.readings()
	for id, e := range cloud.held {
		held += uint64(len(e.values))
		for seq := range e.gaps {
			if _, both := e.values[seq]; both {
				t.Errorf("%v/%d is both a reading and in a gap", id, seq)
			}
		}
		if seq, new := added[id]; new && (e.upto != seq || uint64(len(e.values)) != seq) {
			t.Errorf("of %d new readings of %v the cloud has %d, up to %d", seq, id, len(e.values), e.upto)
		}
	}
	for _, seq := range added {
		want += seq
	}
	if held != want {
		t.Errorf("the cloud has %d readings, want %d", held, want)
	}
	for n, was := range s.lines {
		e := cloud.of(n.Epoch)
		if was.Device != "" && e.values[n.Seq] != was.Value {
			t.Fatalf("%v came as %v, was %v", n, e.values[n.Seq], was.Value)
		}
		for seq := n.Seq; seq < n.Seq+was.Missing+was.Cloud; seq++ {
			if why := e.gaps[seq]; why == "" || was.Missing > 0 && why != was.Why {
				t.Fatalf("%v/%d is missing because %q, was %q", n.Epoch, seq, why, was.Why)
			}
		}
	}
	for _, was := range s.told.Epochs {
		if e := cloud.of(was.ID); e.end == nil || e.end.Closed != (was.Growth == gateway.Closed) {
			t.Errorf("the end of %v is %+v", was.ID, e.end)
		}
	}
}
