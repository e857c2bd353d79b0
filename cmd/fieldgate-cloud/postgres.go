package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/fieldgate/fieldgate/uplink/cloud/postgres"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// postgresFlag names the database that readings are carried into.
type postgresFlag struct {
	Postgres *string `placeholder:"DSN" help:"Also write everything into this PostgreSQL database: \"postgres://user@host/name\", \"host=… dbname=…\", or @FILE for a file that holds one of these. What it leaves out comes from PGHOST, PGPASSFILE and the like. Without the flag: no database."`
}

// A sink carries readings into the database; the zero sink does nothing.
type sink struct{ *postgres.Sink }

func (f postgresFlag) sink(feed record.Feed, log *slog.Logger) (sink, error) {
	if f.Postgres == nil {
		return sink{}, nil
	}
	s, err := postgres.New(postgres.Options{Feed: feed, DSN: *f.Postgres, Logger: log})
	if err != nil {
		return sink{}, fmt.Errorf("--postgres: %w", err)
	}
	return sink{s}, nil
}

func (s sink) run(ctx context.Context) {
	if s.Sink != nil {
		s.Run(ctx)
	}
}

func (s sink) metrics(w io.Writer) {
	if s.Sink != nil {
		s.WriteMetrics(w)
	}
}

// A worker works until ctx is done.
type worker func(ctx context.Context)

// beside has workers run for as long as main does.
func beside(ctx context.Context, workers []worker, main func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	for _, work := range workers {
		working.Go(func() { work(ctx) })
	}
	return main(ctx)
}
