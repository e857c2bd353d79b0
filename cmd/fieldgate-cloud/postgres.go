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
	Postgres *string `placeholder:"DSN" help:"Carry everything into this PostgreSQL database too: \"postgres://user@host/name\", \"host=… dbname=…\", or @FILE for a file that holds one of these. What it leaves out, or all if it is empty, comes from PGHOST, PGPASSFILE and the like. Without the flag: nothing is carried."`
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

// beside has a worker run for as long as main does.
func beside(ctx context.Context, worker func(context.Context), main func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	working.Go(func() { worker(ctx) })
	return main(ctx)
}
