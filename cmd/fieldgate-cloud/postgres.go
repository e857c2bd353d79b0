package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/postgres"
)

// postgresFlag names the database that readings are carried into.
type postgresFlag struct {
	Postgres *string `placeholder:"DSN" help:"Carry everything into this PostgreSQL database too: \"postgres://user@host/name\", \"host=… dbname=…\", or @FILE for a file that holds one of these. What it leaves out, or all if it is empty, comes from PGHOST, PGPASSFILE and the like."`
}

// sink gives what carries readings into the database until ctx is done; what
// does nothing if none is named.
func (f postgresFlag) sink(feed cloud.Feed, log *slog.Logger) (func(ctx context.Context), error) {
	if f.Postgres == nil {
		return func(context.Context) {}, nil
	}
	s, err := postgres.New(postgres.Options{Feed: feed, DSN: *f.Postgres, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("--postgres: %w", err)
	}
	return s.Run, nil
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
