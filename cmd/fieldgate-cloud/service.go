package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/fieldgate/fieldgate/systemd"
)

// logger writes to the journal in its own way, and to anything else as text
// that programs can take apart. It never waits for who reads it.
func logger(w io.Writer, level slog.Level) *slog.Logger {
	s, ok := w.(*systemd.Stream)
	if ok && systemd.IsJournal(s.File()) {
		return slog.New(systemd.NewHandlerFrom(s, level))
	}
	if ok {
		s.TellLost(func(sentence string) []byte {
			var line bytes.Buffer
			slog.New(slog.NewTextHandler(&line, nil)).Warn(sentence)
			return line.Bytes()
		})
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// writeLogMetrics adds what became of the log's lines to /metrics.
func writeLogMetrics(log, metrics io.Writer) {
	if s, ok := log.(*systemd.Stream); ok {
		fmt.Fprintf(metrics, "fieldgate_cloud_log_lines_lost_total %d\n", s.Lost())
	}
}

// tellManager tells the service manager that the server serves, and, when ctx
// is done, that it ends. The process may not end before told has returned: it
// waits until the manager has heard of the end, if that has begun.
func tellManager(ctx context.Context, log *slog.Logger, status string) (told func()) {
	if err := systemd.Ready(status); err != nil {
		log.Error("systemd did not hear that the server is ready, and will end it", "error", err)
	}
	heard := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { systemd.Stopping(); close(heard) })
	return func() {
		if !stop() { // it was called
			<-heard
		}
	}
}
