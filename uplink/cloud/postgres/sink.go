package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const (
	// Consumer is the name under which the log knows how far the sink is.
	Consumer = "postgres"
	// maxBatch is how many records are asked for at once.
	maxBatch     = 256
	retryAtFirst = time.Second
	retryAtMost  = 30 * time.Second
)

// Options says where a Sink reads and writes. Feed and DSN are required.
type Options struct {
	Feed   record.Feed
	DSN    string       // see ParseDSN
	Logger *slog.Logger // nil: slog.Default()
}

// Figures count what a Sink has written since it was made; repeats count
// again.
type Figures struct {
	Records, Void, Refused                uint64
	Readings, Gaps, Thinned, Ends, Events uint64
	Corrected                             uint64 // readings whose time was corrected after they were written
}

func (f *Figures) add(o Figures) {
	f.Records += o.Records
	f.Void += o.Void
	f.Refused += o.Refused
	f.Readings += o.Readings
	f.Gaps += o.Gaps
	f.Thinned += o.Thinned
	f.Ends += o.Ends
	f.Events += o.Events
	f.Corrected += o.Corrected
}

// A State is how a Sink is doing.
type State struct {
	Figures
	Err   error     // why nothing is written now; nil: all is well
	Since time.Time // when Err began
	Upto  time.Time // the newest record in the database was stored in the log then; zero: none since the start
}

// A Sink carries the log into a database.
type Sink struct {
	opt Options
	log *slog.Logger

	link     *link         // of take; nil: none
	careful  bool          // see writer
	wentBack *uint64       // the place that the log was asked to go back to; nil: none
	wait     time.Duration // before the next try
	wake     chan struct{} // there may be something to correct

	mu     sync.Mutex // guards what follows
	state  State
	cfg    *pgx.ConnConfig // of the next connection
	unread bool            // the address cannot be used now, and the log knows
}

// New makes a sink. It does not connect; an error is one of the DSN.
func New(opt Options) (*Sink, error) {
	cfg, err := ParseDSN(opt.DSN)
	if err != nil {
		return nil, err
	}
	if opt.Logger == nil {
		opt.Logger = slog.Default()
	}
	s := &Sink{opt: opt, cfg: cfg, log: opt.Logger.With("part", "postgres"), wake: make(chan struct{}, 1)}
	if cfg.Password != "" && strings.Contains(opt.DSN, cfg.Password) {
		s.log.Warn("the password of the database stands on the command line, where everybody on this machine can read it: " +
			"put the address into a file and name that as @FILE")
	}
	return s, nil
}

// State says how the sink is doing. It may be called at any time.
func (s *Sink) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Run carries records over until ctx is done. While the database cannot be
// written to, the log keeps them.
func (s *Sink) Run(ctx context.Context) {
	var correcting sync.WaitGroup
	defer correcting.Wait()
	correcting.Go(func() { s.correct(ctx) })
	for ctx.Err() == nil {
		s.runOnce(ctx)
	}
}

// runOnce consumes for as long as this sink is the one of the database. A log
// gives records to the one who asks: who does not write must not ask.
func (s *Sink) runOnce(ctx context.Context) {
	if !s.ready(ctx) {
		return
	}
	defer s.unlink()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err := s.opt.Feed.Consume(ctx, Consumer, maxBatch, func(ctx context.Context, entries []record.Entry) error {
		err := s.consume(ctx, entries)
		if errors.Is(err, ErrTaken) {
			stop()
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		s.trouble(ctx, fmt.Errorf("read the log: %w", err))
	}
}

// ready connects if there is no connection. If that fails it says so, waits,
// and gives false.
func (s *Sink) ready(ctx context.Context) bool {
	err := s.relink(ctx)
	if err != nil {
		s.trouble(ctx, err)
	}
	return err == nil
}

// relink connects if there is no connection.
func (s *Sink) relink(ctx context.Context) error {
	if s.link != nil {
		return nil
	}
	l, err := connect(ctx, s.renew())
	if err != nil {
		return err
	}
	l.careful = s.careful
	s.link = l
	s.wakeCorrector() // an earlier run may have left work
	return nil
}

func (s *Sink) unlink() {
	if s.link != nil {
		s.link.close()
		s.link = nil
	}
}

// take writes a batch. On nil all of it is committed; the only errors are
// ErrTaken, *record.BehindError and that of ctx.
func (s *Sink) consume(ctx context.Context, entries []record.Entry) error {
	for len(entries) > 0 {
		n, err := s.step(ctx, entries)
		if ctx.Err() != nil && n == 0 {
			return context.Cause(ctx)
		}
		if errors.Is(err, ErrTaken) || errors.As(err, new(*record.BehindError)) {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// step writes some records, and sets aside one that cannot be written.
func (s *Sink) step(ctx context.Context, entries []record.Entry) (n int, err error) {
	if err := s.relink(ctx); err != nil {
		return 0, s.failed(ctx, err)
	}
	if !s.link.joined {
		if err := s.join(ctx, entries[0]); errors.As(err, new(*record.BehindError)) {
			return 0, err
		} else if err != nil {
			return 0, s.failed(ctx, err)
		}
	}
	done, err := s.link.write(ctx, entries)
	if errors.Is(err, errMoved) {
		s.log.Warn("PostgreSQL was replaced by another state of it; what that lacks is written again", "where", s.where())
		s.unlink()
		return 0, err
	}
	// The transaction is rolled back, so the same entries can be given again, now
	// compared one by one.
	if !s.careful && duplicate(err) {
		s.careful, s.link.careful = true, true
		s.log.Warn("PostgreSQL has readings of which its table of epochs does not know; from now on each is compared", "error", err)
		return s.step(ctx, entries)
	}
	// One record in the batch cannot be written. Halves of it find which.
	if poison(err) && len(entries) > 1 {
		return s.step(ctx, entries[:len(entries)/2]) // until it stands alone
	}
	if poison(err) {
		done, err = s.refuse(ctx, entries[0], err)
	}
	if err != nil {
		return 0, s.failed(ctx, err)
	}
	s.wrote(entries[done.entries-1].At, done.Figures)
	if done.anchors {
		s.wakeCorrector()
	}
	return done.entries, nil
}

// duplicate tells whether a reading was in its table already.
func duplicate(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.TableName == "readings"
}

// poison tells whether an error is about what was to be written, and would
// come again: PostgreSQL's classes 22 (data), 23 (constraints) and 54 (limits).
func poison(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23") || strings.HasPrefix(pg.Code, "54")
	}
	return errors.Is(err, record.ErrUndecodable)
}

// refuse keeps a record that cannot be written as it came, so that it does not
// stand in the way of others.
func (s *Sink) refuse(ctx context.Context, e record.Entry, why error) (outcome, error) {
	if err := s.link.refuse(ctx, e, why); err != nil {
		return outcome{}, err
	}
	s.log.Error("PostgreSQL does not take a record; it was put into the table refused, and its readings are in the log only",
		"gateway", e.GatewayID, "record", e.Seq, "error", why)
	return outcome{entries: 1, Figures: Figures{Refused: 1}}, nil
}

// failed tells of trouble and waits before the next try.
func (s *Sink) failed(ctx context.Context, err error) error {
	s.unlink()
	s.trouble(ctx, err)
	return err
}

// trouble tells once why nothing is written, and waits.
func (s *Sink) trouble(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	first := s.state.Err == nil
	if first {
		s.state.Since = time.Now()
	}
	s.state.Err = err
	s.mu.Unlock()
	if first {
		s.log.Error("PostgreSQL takes nothing; readings wait in the log until it does", "where", s.where(), "error", err)
		s.wait = retryAtFirst
	}
	select {
	case <-ctx.Done():
	case <-time.After(s.wait):
	}
	s.wait = min(2*s.wait, retryAtMost)
}

// wrote notes what is in the database, and tells of a change for the better.
func (s *Sink) wrote(upto time.Time, took Figures) {
	s.mu.Lock()
	was, since := s.state.Err, s.state.Since
	s.state.Err, s.state.Since, s.state.Upto = nil, time.Time{}, upto
	s.state.add(took)
	s.mu.Unlock()
	if was != nil {
		s.log.Info("PostgreSQL takes readings again", "after", time.Since(since).Round(time.Second))
	}
}

func (s *Sink) wakeCorrector() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}
