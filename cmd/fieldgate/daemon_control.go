package main

import (
	"context"

	"github.com/fieldgate/fieldgate/gateway/control"
)

// What the command line tools ask the daemon for.
const (
	askStatus = "GET /v1/status"
	askRead   = "POST /v1/read"
	askScan   = "POST /v1/scan"
)

// routes is the table of what the control socket serves.
func (d *daemon) routes() []control.Route {
	return []control.Route{
		{Pattern: askStatus, Serve: d.serveStatus},
		{Pattern: askRead, Serve: d.serveRead},
		{Pattern: askScan, Serve: d.serveScan},
	}
}

// serveStatus gives what the page on site shows.
func (d *daemon) serveStatus(_ context.Context, _ *control.Request, answer func(any) error) error {
	return answer(d.local.Report())
}
