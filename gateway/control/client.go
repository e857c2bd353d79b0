package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// DefaultPath is where the daemon of the package listens.
const DefaultPath = "/run/fieldgate/control.sock"

// What Ask can fail with before the daemon has heard of it.
var (
	ErrNotRunning = errors.New("no gateway runs here")
	ErrDenied     = errors.New("you may not ask the gateway")
)

// codeUnknown is the code of a Fault for what the daemon does not know.
const codeUnknown = "unknown"

// maxLine bounds one line of an answer.
const maxLine = 16 << 20

// A Client asks the daemon behind the socket at Path.
type Client struct{ Path string }

// Ask asks by the route with this pattern, question being its parameters (nil:
// none), and hands over each line of the answer, which is good until the
// function returns. An error is ErrNotRunning or ErrDenied if nobody was
// reached, and a *Fault if the daemon said so.
func (c Client) Ask(ctx context.Context, pattern string, question any, each func(line []byte) error) error {
	method, path, _ := strings.Cut(pattern, " ")
	var body io.Reader
	if question != nil {
		text, err := json.Marshal(question)
		if err != nil {
			return fmt.Errorf("put the question into JSON: %w", err)
		}
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, requestWithin+writeWithin)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, body)
	if err != nil {
		return fmt.Errorf("ask the gateway: %w", err)
	}
	q.Header.Set(whoHeader, whoAmI())
	answer, err := c.http().Do(q)
	if err != nil {
		return c.explain(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := fault(lines.Bytes()); err != nil {
			return err
		}
		if err := each(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the answer of the gateway ends early: %w", err)
	}
	return nil
}

// Ask asks for one answer.
func Ask[T any](ctx context.Context, c Client, pattern string, question any) (answer T, err error) {
	none := true
	err = c.Ask(ctx, pattern, question, func(line []byte) error {
		none = false
		return json.Unmarshal(line, &answer)
	})
	if err == nil && none {
		err = errors.New("the gateway gave no answer")
	}
	return answer, err
}

// fault gives the error that a line is; nil: it is part of the answer.
func fault(line []byte) error {
	var l faultLine
	if json.Unmarshal(line, &l) != nil || l.Fault == nil {
		return nil
	}
	if l.Fault.Code == codeUnknown {
		l.Fault.Message += ": it may be older than this tool; after an upgrade, restart it (systemctl restart fieldgate)"
	}
	return l.Fault
}

// http makes a client for one request.
func (c Client) http() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			name, done, err := fit(c.Path)
			if err != nil {
				return nil, err
			}
			defer done()
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", name)
		},
	}}
}

// explain says what a connection that did not come about means.
func (c Client) explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: nobody answers at %s", ErrNotRunning, c.Path)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: %s is for root and its group", ErrDenied, c.Path)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("the gateway closed the connection without an answer; does it stop just now? (%w)", err)
	}
	return fmt.Errorf("ask the gateway at %s: %w", c.Path, err)
}
