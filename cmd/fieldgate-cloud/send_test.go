package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// send runs the subcommand beside a gateway that answers each command with
// what it is told to.
func TestSendCommandAndItsAnswers(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	token := add(t, state, "plant-7")
	add(t, state, "away")
	p := start(t, state)
	conn, _ := p.openWith(token, &wire.Hello{GatewayID: "plant-7", All: true, Caps: []string{"commands"}})
	answers := map[string]*wire.Result{
		"done": {State: gateway.CommandDone, Value: new(float64)}, "failed": {State: gateway.CommandFailed, Error: "the relay is stuck"},
		"rejected": {State: gateway.CommandRejected, Error: "this gateway has no output named rejected"},
		"expired":  {State: gateway.CommandExpired}, "unknown": {State: gateway.CommandUnknown, Error: "it stopped while it ran"},
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m, err := hear(conn)
			if err != nil {
				return
			}
			if c, ok := m.(*wire.Command); ok && answers[c.Device] != nil {
				r := *answers[c.Device]
				r.ID = c.ID
				say(t, conn, &wire.Result{ID: c.ID, State: gateway.CommandRunning})
				say(t, conn, &r)
			}
		}
	}()
	tokenFile := filepath.Join(state, "operator.token")
	for _, c := range []struct {
		args string
		code int
		says []string
	}{
		{"plant-7 done set on --wait", 0, []string{"done, at 0"}},
		{"plant-7 failed set 1.5 --wait --once", 1, []string{"failed: the relay is stuck", "set of failed"}},
		{"plant-7 rejected set off --wait --lease 5s", 3, []string{"no output named rejected"}},
		{"plant-7 expired reset --wait", 4, []string{"expired"}},
		{"plant-7 unknown reset --wait", 5, []string{"unknown: it stopped while it ran"}},
		{"plant-7 silent set 1 --wait --ttl 3s", 6, []string{"sent: the gateway has not answered; it may have acted",
			"GET /v1/gateways/plant-7/commands/"}},
		{"away done set 1", 0, []string{"queued"}},
		{"away done set 1 --wait --ttl 1ms", 4, []string{"did not connect in time"}},
		{"away done set 1 --now", 1, []string{"not connected"}},
		{"nobody done set 1", 1, []string{"no such gateway"}},
		{"plant-7 done set one", 2, []string{"one", "number"}},
		{"plant-7 done set NaN", 2, []string{"NaN"}},
		{"a.b done set 1", 2, []string{"a.b"}},
		{"plant-7 done set 1 --ttl 169h", 1, []string{"7 days"}},
		{"plant-7 done set 1 --url http://127.0.0.1", 2, []string{"https://"}},
		{"plant-7 done set 1 --url https://" + p.addr + " --token-file " + tokenFile + " --ca " + tokenFile, 1, []string{"no certificate"}},
	} {
		args := append([]string{"send", "--state", state}, strings.Fields(c.args)...)
		code, out, errs := do(t, args...)
		for _, says := range c.says {
			if code != c.code || !strings.Contains(out+errs, says) {
				t.Errorf("%q: exit %d, want %d and %q:\n%s%s", c.args, code, c.code, says, out, errs)
			}
		}
		if secret, err := os.ReadFile(tokenFile); err != nil || strings.Contains(out+errs, strings.TrimSpace(string(secret))) {
			t.Errorf("%q shows the token (%v)", c.args, err)
		}
	}
	code, out, errs := do(t, "send", "--url", "https://"+p.addr, "--token-file", tokenFile,
		"--ca", filepath.Join(state, "ca.pem"), "plant-7", "done", "set", "--wait")
	if code != 0 || !strings.Contains(out, "done") {
		t.Errorf("by address: exit %d\n%s%s", code, out, errs)
	}
	if code, _, errs := do(t, "send", "plant-7", "done", "set"); code != 2 || !strings.Contains(errs, "--state") {
		t.Errorf("without a server: exit %d, %s", code, errs)
	}
	p.end(syscall.SIGTERM)
	<-ended
}
