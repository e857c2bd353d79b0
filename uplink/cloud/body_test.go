package cloud

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// pipedRaw makes a server on pipes and gives what opens a bare connection to
// it, without a credential.
func pipedRaw(t *testing.T, opt Options) func() net.Conn {
	opt.Credentials, opt.OperatorToken = keyring.Credentials{Dir: t.TempDir()}, "operator"
	if _, err := opt.Credentials.Add("g"); err != nil {
		t.Fatal(err)
	}
	s := inMemory(opt)
	ln := make(pipes)
	hs := &http.Server{Handler: s}
	go func() { _ = hs.Serve(ln) }()
	t.Cleanup(func() { s.Close(); close(ln); hs.Close() })
	return func() net.Conn {
		ours, theirs := net.Pipe()
		ln <- theirs
		t.Cleanup(func() { ours.Close() })
		return ours
	}
}

// TestBodyThatNeverCame: nobody holds a connection by sending less of a body
// than it announced, with a credential or without, whether the body is read or
// not.
func TestBodyThatNeverCame(t *testing.T) {
	for path, want := range map[string]int{
		"POST /v1/enroll":                http.StatusRequestTimeout,
		"POST /v1/gateways/g/commands":   http.StatusRequestTimeout,
		"PUT /v1/gateways/g/config":      http.StatusRequestTimeout,
		"GET /v1/gateway":                http.StatusUnauthorized,
		"POST /v1/credentials/rotate":    http.StatusUnauthorized,
		"GET /v1/gateways/g/nothing":     http.StatusNotFound,
		"GET /v1/gateways/g/commands/no": http.StatusNotFound,
	} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := pipedRaw(t, Options{Log: &cloudtest.Log{}, KV: &cloudtest.KV{}, PubSub: &cloudtest.PubSub{}})()
				began := time.Now()
				go func() {
					_, _ = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer operator\r\nContent-Length: 1000\r\n\r\n{", path)
				}()
				r := bufio.NewReader(conn)
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != want {
					t.Errorf("status %s, want %d", resp.Status, want)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Error(err)
				}
				_ = conn.SetReadDeadline(began.Add(time.Hour))
				if _, err := r.ReadByte(); err != io.EOF || time.Since(began) > 2*bodyWithin {
					t.Errorf("after %v the connection is still there: %v", time.Since(began), err)
				}
			})
		})
	}
}

// A stillKV never has anything to tell.
type stillKV struct{ *cloudtest.KV }

func (stillKV) Watch(ctx context.Context, _ string, _ func(record.Doc)) error {
	<-ctx.Done()
	return nil
}

// TestAnswerMayTakeLongerThanTheBody: a request whose body has come is not
// broken off when it waits for its answer.
func TestAnswerMayTakeLongerThanTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := pipedRaw(t, Options{Log: &cloudtest.Log{}, KV: stillKV{&cloudtest.KV{}}, PubSub: &cloudtest.PubSub{}})()
		const command = `{"id":"c1","device_id":"pump","action":"set","value":1}`
		began := time.Now()
		go func() {
			_, _ = fmt.Fprintf(conn, "POST /v1/gateways/g/commands?wait=30s HTTP/1.1\r\nHost: cloud\r\n"+
				"Authorization: Bearer operator\r\nContent-Length: %d\r\n\r\n%s", len(command), command)
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusAccepted || time.Since(began) != 30*time.Second {
			t.Errorf("%s after %v", resp.Status, time.Since(began))
		}
	})
}
