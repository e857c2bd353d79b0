package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

type bufferCommand struct {
	Stats  bufferStats  `cmd:"" help:"Say what the store holds."`
	Verify bufferVerify `cmd:"" help:"Read everything, and say what is whole, damaged or missing. Changes nothing."`
	Export bufferExport `cmd:"" help:"Write the readings as CSV or NDJSON. Changes nothing."`
	Repair bufferRepair `cmd:"" help:"Save what can be saved of damaged files, as the daemon does when it starts."`
	Drop   bufferDrop   `cmd:"" help:"Discard old readings that nobody wants any more. Those that the cloud does not have become a gap."`
}

// bufferDir says which store is meant.
type bufferDir struct {
	Config string `default:"/etc/fieldgate/fieldgate.toml" help:"Configuration file that names the folder of the store."`
	Dir    string `placeholder:"DIR" help:"Folder of the store, or a copy of it. Without it: the folder in the configuration."`
}

// configuration reads the configuration file.
func (k bufferDir) configuration() (*config.Config, error) {
	return config.Load(k.Config, builtin.Drivers())
}

// options are those of a store that nothing samples into.
func (k bufferDir) options() (store.Options, *health.Table, error) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	table := health.New(quiet)
	cfg := config.Store{Dir: k.Dir, FlushInterval: 5 * time.Second, HistoryFlush: 10 * time.Minute}
	if k.Dir == "" {
		all, err := k.configuration()
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
	JSON bool `help:"Print one JSON object."`
}

// Run says what the store holds.
func (k bufferStats) Run(c cli.Console) error {
	s, _, err := k.inspect()
	if err != nil {
		return err
	}
	defer s.Leave()
	st, epochs := s.Stats(), s.Epochs()
	epochs = epochs[:len(epochs)-1] // the last is that of this look
	if k.JSON {
		return json.NewEncoder(c.Out).Encode(map[string]any{
			"readings": st.Stored + st.Journal, "in_journal": st.Journal, "unacknowledged": st.Unacked,
			"oldest_unacknowledged_s": st.OldestUnackedAge.Seconds(), "bytes": st.Bytes, "epochs": len(epochs), "open_gaps": st.Gaps,
		})
	}
	fmt.Fprintf(c.Out, "%d readings in %s bytes, %d of them in the journal\n", st.Stored+st.Journal, short(float64(st.Bytes)), st.Journal)
	fmt.Fprintf(c.Out, "%d wait for the cloud", st.Unacked)
	if st.OldestUnackedAge > 0 {
		fmt.Fprintf(c.Out, ", the oldest for %v", st.OldestUnackedAge.Round(time.Second))
	}
	fmt.Fprintf(c.Out, "\n%d epochs\n", len(epochs))
	for _, e := range epochs {
		fmt.Fprintf(c.Out, "  %v  held %d to %d  acknowledged to %d  %s\n", e.ID, e.Oldest, e.Last, e.Acked, grown(e))
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

type bufferRepair struct{ bufferDir }

// Run opens the store as the daemon does, which salvages what is damaged, and
// reads everything, which finds the rest.
func (k bufferRepair) Run(ctx context.Context, c cli.Console) error {
	s, table, err := k.open()
	if err != nil {
		return err
	}
	f, err := examine(ctx, s, table)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	tellFinding(c.Out, f)
	return f.unread()
}

type bufferDrop struct {
	bufferDir
	Before time.Time `required:"" format:"2006-01-02T15:04:05Z07:00" placeholder:"2026-11-01T00:00:00Z" help:"Discard readings from before this time."`
	Yes    bool      `help:"Do not ask."`
}

// Run gives readings up.
func (k bufferDrop) Run(c cli.Console) error {
	s, _, err := k.open()
	if err != nil {
		return err
	}
	if st := s.Stats(); !k.Yes && !agreed(c.Out, fmt.Sprintf("Of %d readings, %d wait for the cloud. Give up those from before %v for good?",
		st.Stored+st.Journal, st.Unacked, k.Before)) {
		return errors.Join(errors.New("nothing was given up"), s.Close())
	}
	n, err := s.DropBefore(k.Before)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%d readings that the cloud never had were given up; the cloud will be told\n", n)
	return nil
}

func agreed(out io.Writer, question string) bool {
	fmt.Fprint(out, question, " [y/N] ")
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}
