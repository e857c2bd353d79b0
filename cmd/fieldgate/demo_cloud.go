package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/systemd"
)

const (
	cloudReadyWait = 15 * time.Second
	cloudStopWait  = 20 * time.Second
)

// cloudProgram is fieldgate-cloud beside this program, or on the PATH.
func cloudProgram() string {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "fieldgate-cloud")
		if _, err := os.Stat(beside); err == nil {
			return beside
		}
	}
	return "fieldgate-cloud"
}

// A demoCloud is the cloud server as a program of its own.
type demoCloud struct {
	program, state, listen string
	log                    *slog.Logger

	cmd   *exec.Cmd
	ended chan struct{} // closed when the program has ended
}

func (l *demoCloud) ca() string { return filepath.Join(l.state, "ca.pem") }

// enrol makes the gateway known to the cloud, once per state folder.
func (l *demoCloud) enrol(tokenFile string) error {
	if _, err := os.Stat(tokenFile); err == nil {
		return nil
	}
	token, err := exec.Command(l.program, "gateway", "add", demoID, "--state", l.state).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("make the gateway known to the cloud: %w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return fmt.Errorf("make the gateway known to the cloud: %w; `make build` puts fieldgate-cloud beside fieldgate", err)
	}
	if err := os.WriteFile(tokenFile, token, 0o600); err != nil {
		return fmt.Errorf("keep the gateway's token: %w", err)
	}
	return nil
}

// start starts the cloud and waits until it takes connections.
func (l *demoCloud) start(ctx context.Context) error {
	l.cmd = exec.Command(l.program, "run", "--listen", l.listen, "--state", l.state)
	says, err := l.listenTo(l.cmd)
	if err != nil {
		return err
	}
	// In a group of its own, so that Ctrl-C reaches the gateway first and its
	// last readings still find a cloud; killed with us if we are killed.
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	l.ended = make(chan struct{})
	go func() {
		runtime.LockOSThread() // Pdeathsig looks at the thread that started the program
		err := l.cmd.Start()
		_ = l.cmd.Stderr.(*os.File).Close() // the cloud has it now
		started <- err
		if err == nil {
			l.relay(says)
			_ = l.cmd.Wait()
			close(l.ended)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start the cloud: %w; `make build` puts fieldgate-cloud beside fieldgate", err)
	}
	ctx, cancel := context.WithTimeout(ctx, cloudReadyWait)
	defer cancel()
	for !l.answers(ctx) {
		select {
		case <-l.ended:
			return errors.New("the cloud ended at once; its reason stands above")
		case <-ctx.Done():
			l.stop()
			return fmt.Errorf("wait for the cloud on %s: %w", l.listen, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// listenTo stands in the place of the journal for the cloud, so that it says
// the level of each line, and gives what it will say.
func (l *demoCloud) listenTo(cmd *exec.Cmd) (says io.Reader, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the cloud's log: %w", err)
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(int(w.Fd()), &st); err != nil {
		return nil, fmt.Errorf("make a pipe for the cloud's log: %w", err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	cmd.Env = append(os.Environ(), fmt.Sprintf("JOURNAL_STREAM=%d:%d", st.Dev, st.Ino))
	return r, nil
}

// relay logs what the cloud says until it has ended. What has no level is its
// last word.
func (l *demoCloud) relay(says io.Reader) {
	for lines := bufio.NewReader(says); ; {
		line, err := lines.ReadString('\n')
		level, text, known := systemd.ParsePriority(strings.TrimSuffix(line, "\n"))
		if !known {
			level = slog.LevelError
		}
		if text != "" {
			l.log.Log(context.Background(), level, "cloud: "+text)
		}
		if err != nil {
			return
		}
	}
}

// answers reports whether somebody speaks TLS there. Who it is, the uplink
// verifies.
func (l *demoCloud) answers(ctx context.Context) bool {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // nothing is sent
	conn, err := dialer.DialContext(ctx, "tcp", l.listen)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// watch ends the demo when the cloud ends by itself.
func (l *demoCloud) watch(end context.CancelCauseFunc) {
	<-l.ended
	end(errors.New("the cloud ended; its reason stands above"))
}

// stop ends the cloud, orderly if it can.
func (l *demoCloud) stop() {
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-l.ended:
	case <-time.After(cloudStopWait):
		_ = l.cmd.Process.Kill()
		<-l.ended
	}
}

// proof is what the cloud says of everything up to a time: "complete", or what
// it lacks.
func (l *demoCloud) proof(ctx context.Context, upto time.Time) string {
	ctx, cancel := context.WithTimeout(ctx, proofWithin)
	defer cancel()
	for {
		complete, sentence, err := l.completeness(ctx, upto)
		if err == nil && complete {
			return "complete"
		}
		select {
		case <-ctx.Done():
			if sentence == "" {
				return fmt.Sprintf("but the cloud was not heard on it: %v", err)
			}
			return "but the cloud says: " + sentence
		case <-time.After(10 * deliveryLook):
		}
	}
}

// completeness asks the cloud's API.
func (l *demoCloud) completeness(ctx context.Context, upto time.Time) (complete bool, sentence string, err error) {
	token, err := files.Line(filepath.Join(l.state, "operator.token"))
	if err != nil {
		return false, "", err
	}
	authority, err := files.Authorities(l.ca())
	if err != nil {
		return false, "", err
	}
	at := url.URL{Scheme: "https", Host: l.listen, Path: "/v1/gateways/" + demoID + "/completeness",
		RawQuery: url.Values{"to": {upto.UTC().Format(time.RFC3339Nano)}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return false, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true}}
	answer, err := client.Do(req)
	if err != nil {
		return false, "", err
	}
	defer answer.Body.Close()
	var said struct {
		Complete bool
		Sentence string
	}
	err = json.NewDecoder(io.LimitReader(answer.Body, 8<<20)).Decode(&said)
	return said.Complete, said.Sentence, err
}
