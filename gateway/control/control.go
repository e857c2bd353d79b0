// Package control is the unix socket between the daemon and its command line
// tools: HTTP, one request for each connection, answered with one JSON object
// or with several, one a line. Who may ask is decided by the mode of the
// socket: root, the user of the daemon and its group.
//
// A tool asks with Client. What can be asked for is the table of routes that
// the daemon gives to New.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// A Route is one thing that tools may ask for.
type Route struct {
	Pattern string // "GET /v1/status"
	// Serve answers one request: it calls answer once, or once for each line of
	// a stream. It returns soon after ctx is done: then the caller went away, the
	// time of the request is over, or the daemon stops. An error is told to the
	// caller, a *Fault as it is.
	Serve func(ctx context.Context, r *Request, answer func(v any) error) error
}

// A Request is what a caller asks for.
type Request struct {
	Caller Caller
	body   []byte
}

// Decode reads the parameters of the request into v, which has a field for each
// that there is. An error is a *Fault.
func (r *Request) Decode(v any) error {
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &Fault{Status: http.StatusBadRequest, Code: "bad_request", Message: "the request is not understood: " + err.Error()}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &Fault{Status: http.StatusBadRequest, Code: "bad_request", Message: "the request is more than one JSON object"}
	}
	return nil
}

// A Fault is an error as callers get it: in the place of an answer, or as the
// last line of a stream.
type Fault struct {
	Status  int    `json:"-"` // of HTTP
	Code    string `json:"code"`
	Message string `json:"message"` // a sentence without a full stop, as errors are
}

// Error gives the message.
func (f *Fault) Error() string { return f.Message }

// faultLine is how a Fault is written.
type faultLine struct {
	Fault *Fault `json:"fault"`
}

// faultOf makes a Fault of what a route failed with.
func faultOf(err error, stopping bool) *Fault {
	var f *Fault
	switch {
	case errors.As(err, &f):
		return f
	case stopping:
		return &Fault{http.StatusServiceUnavailable, "stopping", "the gateway stops"}
	case errors.Is(err, context.DeadlineExceeded):
		return &Fault{http.StatusGatewayTimeout, "late", fmt.Sprintf("there was no answer within %v: %v", requestWithin, err)}
	}
	return &Fault{http.StatusInternalServerError, "failed", err.Error()}
}
