package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

type bufferCommand struct {
	Stats  bufferStats  `cmd:"" help:"Say what the store holds."`
	Verify bufferVerify `cmd:"" help:"Read everything, and say what is whole, what is damaged and what is missing. Changes nothing."`
	Export bufferExport `cmd:"" help:"Write the readings as CSV or NDJSON. Changes nothing."`
	Repair bufferRepair `cmd:"" help:"Save what can be saved of damaged files, as the daemon does when it starts."`
	Drop   bufferDrop   `cmd:"" help:"Give up readings that nobody wants any more; what the cloud never had becomes a gap."`
}

// bufferDir says which store is meant.
type bufferDir struct {
	Config string `default:"/etc/fieldgate/fieldgate.toml" help:"Configuration file that names the store's folder."`
	Dir    string `placeholder:"DIR" help:"The store's folder, or a copy of it. Without it: that of the configuration."`
}

// options are those of a store that nothing samples into.
func (k bufferDir) options() (store.Options, *health.Table, error) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	table := health.New(quiet)
	cfg := config.Store{Dir: k.Dir, FlushInterval: 5 * time.Second, HistoryFlush: 10 * time.Minute}
	if k.Dir == "" {
		all, err := config.Load(k.Config, driverTable())
		if err != nil {
			return store.Options{}, nil, err
		}
		cfg = all.Store
	}
	board, err := clock.New("/", quiet)
	if err != nil {
		return store.Options{}, nil, err
	}
	return store.Options{
		Dir: cfg.Dir, FlushInterval: cfg.FlushInterval, HistoryFlush: cfg.HistoryFlush, History: cfg.History,
		MaxSize: int64(cfg.MaxSize), ThinInterval: cfg.ThinInterval, Clock: board, Conditions: table, Log: quiet, VerifyState: verifyState,
	}, table, nil
}

// inspect opens the store to look at it.
func (k bufferDir) inspect() (*store.Store, *health.Table, error) {
	o, table, err := k.options()
	if err != nil {
		return nil, nil, err
	}
	s, err := store.Inspect(o)
	return s, table, inWords(err)
}

// open opens the store to change it.
func (k bufferDir) open() (*store.Store, *health.Table, error) {
	o, table, err := k.options()
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(o.Dir); err != nil {
		return nil, nil, fmt.Errorf("there is no store in %s: %w", o.Dir, err)
	}
	s, err := store.Open(o)
	if err != nil {
		return nil, nil, inWords(err)
	}
	if err := s.Absent(); err != nil {
		_ = s.Close() // it holds nothing, and can only say again why
		return nil, nil, inWords(err)
	}
	return s, table, nil
}

func inWords(err error) error {
	switch trouble := files.TroubleOf(err); {
	case errors.Is(err, store.ErrLocked):
		return fmt.Errorf("%w; stop the gateway first: systemctl stop fieldgate", err)
	case trouble != files.None && trouble != files.Missing:
		return fmt.Errorf("the store cannot be read now, which does not mean that it is damaged: %s (%w)", files.Explain("", err), err)
	}
	return err
}

type bufferStats struct {
	bufferDir
	JSON bool `help:"As one JSON object."`
}

// Run says what the store holds.
func (k bufferStats) Run(c console) error {
	s, _, err := k.inspect()
	if err != nil {
		return err
	}
	defer s.Leave()
	st, epochs := s.Stats(), s.Epochs()
	epochs = epochs[:len(epochs)-1] // the last is that of this look
	if k.JSON {
		return json.NewEncoder(c.out).Encode(map[string]any{
			"readings": st.Stored + st.Journal, "in_journal": st.Journal, "unacknowledged": st.Unacked,
			"oldest_unacknowledged_s": st.OldestUnackedAge.Seconds(), "bytes": st.Bytes, "epochs": len(epochs), "open_gaps": st.Gaps,
		})
	}
	fmt.Fprintf(c.out, "%d readings in %s bytes, %d of them in the journal\n", st.Stored+st.Journal, short(float64(st.Bytes)), st.Journal)
	fmt.Fprintf(c.out, "%d wait for the cloud", st.Unacked)
	if st.OldestUnackedAge > 0 {
		fmt.Fprintf(c.out, ", the oldest for %v", st.OldestUnackedAge.Round(time.Second))
	}
	fmt.Fprintf(c.out, "\n%d epochs\n", len(epochs))
	for _, e := range epochs {
		fmt.Fprintf(c.out, "  %v  held %d to %d  acknowledged to %d  %s\n", e.ID, e.Oldest, e.Last, e.Acked, grown(e))
	}
	return nil
}

func grown(e gateway.EpochState) string {
	switch {
	case e.Growth == gateway.Closed && e.Done:
		return "closed, the cloud has all of it"
	case e.Growth == gateway.Closed:
		return "closed"
	case e.Done:
		return "ended in a power cut or crash, the cloud knows"
	}
	return "ended in a power cut or crash"
}

type bufferVerify struct {
	bufferDir
	JSON bool `help:"As one JSON object."`
}

// A finding is what a walk through the whole store brings to light.
type finding struct {
	Readings uint64            `json:"readings"`
	Thinned  uint64            `json:"thinned"` // readings of which summaries are left
	Cloud    uint64            `json:"cloud"`   // readings that the cloud acknowledged, and that are not here any more
	Gaps     map[string]uint64 `json:"gaps"`    // readings by reason
	OpenEnds int               `json:"open_ends"`
	Unread   uint64            `json:"unreadable"`       // readings, as far as is known, that are held but cannot be read now
	Held     []string          `json:"unreadable_files"` // in sentences
	Damage   []string          `json:"damage"`           // in sentences
}

// examine reads everything.
func examine(ctx context.Context, s *store.Store, table *health.Table) (finding, error) {
	f := finding{Gaps: map[string]uint64{}, Held: []string{}, Damage: []string{}}
	for _, e := range s.Epochs() {
		err := s.Walk(ctx, e.ID, func(b store.Stretch) error {
			f.Readings += uint64(len(b.Readings))
			if b.Unread != nil {
				f.Unread += b.N
			}
			if b.Thinned {
				f.Thinned += b.N
			}
			if b.Gap != nil {
				f.gap(b, e.Acked)
			}
			if b.End != nil && !b.End.Closed {
				f.OpenEnds++
			}
			return nil
		})
		if err != nil {
			return f, err
		}
	}
	for _, cond := range table.List() {
		switch cond.Code {
		case store.ConditionDamage:
			f.Damage = append(f.Damage, cond.Sentence)
		case store.ConditionUnreadable:
			f.Held = append(f.Held, cond.Sentence)
		}
	}
	return f, nil
}

var errUnreadStore = errors.New("not all of the store can be read now; nothing of that is lost or damaged, as far as is known")

// gap counts what stands in the place of readings: those that the cloud holds,
// and those that are missing.
func (f *finding) gap(b store.Stretch, acked uint64) {
	held := withTheCloud(b, acked)
	f.Cloud += held
	if b.N > held {
		f.Gaps[string(b.Gap.Why)] += b.N - held
	}
}

// withTheCloud is how many readings of a gap the cloud acknowledged and did not
// take back.
func withTheCloud(b store.Stretch, acked uint64) uint64 {
	if b.Gap.Why != gateway.WhyForgottenAfterAck || acked < b.First {
		return 0
	}
	return min(b.N, acked+1-b.First)
}

var errDamagedStore = errors.New("the store is damaged; `fieldgate buffer repair` saves what can be saved")

// Run reads everything and judges.
func (k bufferVerify) Run(ctx context.Context, c console) error {
	s, table, err := k.inspect()
	if err != nil {
		return err
	}
	defer s.Leave()
	f, err := examine(ctx, s, table)
	if err != nil {
		return err
	}
	if k.JSON {
		err = json.NewEncoder(c.out).Encode(f)
	} else {
		tellFinding(c.out, f)
	}
	if len(f.Damage) > 0 {
		err = errors.Join(err, errDamagedStore)
	}
	return errors.Join(err, f.unread())
}

// unread is the error for what could not be read.
func (f *finding) unread() error {
	if len(f.Held) > 0 {
		return errUnreadStore
	}
	return nil
}

func tellFinding(out io.Writer, f finding) {
	fmt.Fprintf(out, "%d readings are whole\n", f.Readings)
	if f.Thinned > 0 {
		fmt.Fprintf(out, "of %d more only count, least, greatest and mean value per channel and interval are left: the store was nearly full\n", f.Thinned)
	}
	if f.Cloud > 0 {
		fmt.Fprintf(out, "%d more are with the cloud, which acknowledged them, and not here any more\n", f.Cloud)
	}
	for why, n := range f.Gaps {
		fmt.Fprintf(out, "%d readings are known to be missing: %s\n", n, why)
	}
	if f.OpenEnds > 0 {
		fmt.Fprintf(out, "%d epochs ended in a power cut or crash; what was lost there is told to the cloud\n", f.OpenEnds)
	}
	if f.Unread > 0 {
		fmt.Fprintf(out, "%d readings are held in files that cannot be read now\n", f.Unread)
	}
	for _, sentence := range append(f.Held, f.Damage...) {
		fmt.Fprintln(out, sentence)
	}
	if len(f.Damage) == 0 {
		fmt.Fprintln(out, "no damage was found")
	}
}

type bufferRepair struct{ bufferDir }

// Run opens the store as the daemon does, which salvages what is damaged, and
// reads everything, which finds the rest.
func (k bufferRepair) Run(ctx context.Context, c console) error {
	s, table, err := k.open()
	if err != nil {
		return err
	}
	f, err := examine(ctx, s, table)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	tellFinding(c.out, f)
	return f.unread()
}

type bufferDrop struct {
	bufferDir
	Before time.Time `required:"" format:"2006-01-02T15:04:05Z07:00" placeholder:"2026-11-01T00:00:00Z" help:"Give up readings from before this time."`
	Yes    bool      `help:"Do not ask."`
}

// Run gives readings up.
func (k bufferDrop) Run(c console) error {
	s, _, err := k.open()
	if err != nil {
		return err
	}
	if st := s.Stats(); !k.Yes && !agreed(c.out, fmt.Sprintf("Of %d readings, %d wait for the cloud. Give up those from before %v for good?", st.Stored+st.Journal, st.Unacked, k.Before)) {
		return errors.Join(errors.New("nothing was given up"), s.Close())
	}
	n, err := s.DropBefore(k.Before)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%d readings that the cloud never had were given up; the cloud will be told\n", n)
	return nil
}

func agreed(out io.Writer, question string) bool {
	fmt.Fprint(out, question, " [y/N] ")
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}

type bufferExport struct {
	bufferDir
	Format   string    `enum:"csv,ndjson" default:"csv" help:"csv or ndjson. Gaps are told in NDJSON alone."`
	Device   string    `help:"Only this device. Without it: all."`
	Quantity string    `help:"Only this quantity. Without it: all."`
	From     time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME" help:"Only readings from this time on. Without it: from the oldest."`
	To       time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME" help:"Only readings from before this time. Without it: to the newest."`
	Output   string    `short:"o" placeholder:"FILE" help:"File to write. Without it: the terminal."`
}

// Run writes the readings out, oldest epoch first.
func (k bufferExport) Run(ctx context.Context, c console) error {
	s, table, err := k.inspect()
	if err != nil {
		return err
	}
	defer s.Leave()
	to, done := c.out, func() error { return nil }
	if k.Output != "" {
		f, err := os.Create(k.Output)
		if err != nil {
			return fmt.Errorf("write the export: %w", err)
		}
		to, done = f, f.Close
	}
	w := bufio.NewWriter(to)
	put := k.putter(w)
	for _, e := range s.Epochs() {
		err = errors.Join(err, s.Walk(ctx, e.ID, k.writer(put, e.Acked)))
		if _, failed := w.Write(nil); failed != nil { // nobody takes what other epochs have
			err = nil // Flush says it
			break
		}
	}
	if err := errors.Join(err, w.Flush(), done()); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	for _, cond := range table.List() {
		switch cond.Code {
		case store.ConditionUnreadable:
			err = errUnreadStore
			fallthrough
		case store.ConditionDamage:
			fmt.Fprintln(c.err, "fieldgate:", cond.Sentence)
		}
	}
	return err
}

// An exported reading, in NDJSON; or, with a reason, readings that are
// missing.
type exported struct {
	Epoch    gateway.EpochID `json:"epoch"`
	Seq      uint64          `json:"seq"`
	Device   string          `json:"device_id,omitempty"`
	Quantity string          `json:"quantity,omitempty"`
	Value    *float64        `json:"value,omitempty"`
	Unit     string          `json:"unit,omitempty"`
	Time     *time.Time      `json:"timestamp,omitempty"`
	Clock    string          `json:"time,omitempty"`
	Quality  string          `json:"quality,omitempty"`
	N        uint64          `json:"n,omitempty"` // the value is the mean of so many thinned readings from timestamp on, …
	Interval float64         `json:"interval_s,omitempty"`
	Min      *float64        `json:"min,omitempty"` // … and these their bounds
	Max      *float64        `json:"max,omitempty"`
	Cloud    uint64          `json:"cloud,omitempty"`   // so many readings from seq on are with the cloud alone, which acknowledged them
	Missing  uint64          `json:"missing,omitempty"` // readings from seq on
	Why      gateway.Why     `json:"why,omitempty"`
	Unread   uint64          `json:"unreadable,omitempty"` // readings from seq on that are held but cannot be read now
}

// putter writes in the form that was asked for.
func (k bufferExport) putter(w io.Writer) func(exported) error {
	if k.Format == "ndjson" {
		return func(x exported) error { return json.NewEncoder(w).Encode(x) }
	}
	return csvRows(w)
}

// gap writes what stands in the place of readings.
func (k bufferExport) gap(put func(exported) error, b store.Stretch, acked uint64) error {
	held := withTheCloud(b, acked)
	if held > 0 {
		if err := put(exported{Epoch: b.Epoch, Seq: b.First, Cloud: held}); err != nil {
			return err
		}
	}
	if b.N == held {
		return nil
	}
	return put(exported{Epoch: b.Epoch, Seq: b.First + held, Missing: b.N - held, Why: b.Gap.Why})
}

// writer writes an epoch, of which the cloud acknowledged the readings up to
// acked.
func (k bufferExport) writer(put func(exported) error, acked uint64) func(store.Stretch) error {
	return func(b store.Stretch) error {
		if b.Unread != nil && b.N > 0 && k.Format == "ndjson" {
			return put(exported{Epoch: b.Epoch, Seq: b.First, Unread: b.N})
		}
		if b.Gap != nil && k.Format == "ndjson" {
			return k.gap(put, b, acked)
		}
		for i := range b.Readings {
			r := &b.Readings[i]
			if x, wanted := k.row(b, r.Channel, r.At, r.Quality); wanted {
				x.Seq, x.Value = b.First+uint64(i), number(r.Value)
				if err := put(x); err != nil {
					return err
				}
			}
		}
		for i := range b.Summaries {
			sum := &b.Summaries[i]
			if x, wanted := k.row(b, sum.Channel, sum.From, sum.Worst); wanted {
				x.Seq, x.N, x.Interval = b.First, sum.N, sum.Interval.Seconds()
				x.Value, x.Min, x.Max = number(sum.Mean), number(sum.Min), number(sum.Max)
				if err := put(x); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// row fills what readings and summaries share.
func (k bufferExport) row(b store.Stretch, ch *gateway.Channel, stamp gateway.Stamp, q gateway.Quality) (x exported, wanted bool) {
	at := b.Header.Anchor.Wall(stamp)
	return exported{
		Epoch: b.Epoch, Device: ch.Device, Quantity: ch.Quantity, Unit: ch.Unit,
		Time: &at, Clock: b.Header.Anchor.Quality.String(), Quality: q.String(),
	}, k.wants(ch, at)
}

// number gives nil for what JSON has no number for.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func (k bufferExport) wants(ch *gateway.Channel, at time.Time) bool {
	return (k.Device == "" || k.Device == ch.Device) && (k.Quantity == "" || k.Quantity == ch.Quantity) &&
		!at.Before(k.From) && (k.To.IsZero() || at.Before(k.To))
}

// csvRows writes a header and then a row for each reading. The last three
// columns are those of thinned readings.
func csvRows(w io.Writer) func(exported) error {
	rows := csv.NewWriter(w)
	headed := false
	return func(x exported) error {
		if !headed {
			headed = true
			_ = rows.Write([]string{"timestamp", "time", "device_id", "quantity", "value", "unit", "quality", "epoch", "seq", "n", "min", "max"}) // Error tells
		}
		n := ""
		if x.N > 0 {
			n = strconv.FormatUint(x.N, 10)
		}
		_ = rows.Write([]string{x.Time.Format("2006-01-02T15:04:05.000Z"), x.Clock, x.Device, x.Quantity, decimal(x.Value), x.Unit, x.Quality,
			x.Epoch.String(), strconv.FormatUint(x.Seq, 10), n, decimal(x.Min), decimal(x.Max)})
		rows.Flush()
		return rows.Error()
	}
}

func decimal(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}
