package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/fieldgate/fieldgate/systemd"
)

// logger writes to the journal in its own way, and to anything else as text
// that programs can take apart.
func logger(w io.Writer, level slog.Level) *slog.Logger {
	if f, ok := w.(*os.File); ok && systemd.IsJournal(f) {
		return slog.New(systemd.NewHandlerFrom(f, level))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// tellManager tells the service manager that the server serves, and, when ctx
// is done, that it ends.
func tellManager(ctx context.Context, log *slog.Logger, status string) {
	if err := systemd.Ready(status); err != nil {
		log.Error("systemd did not hear that the server is ready, and will end it", "error", err)
	}
	context.AfterFunc(ctx, systemd.Stopping)
}
