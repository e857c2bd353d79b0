package main

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the command line does to credentials is in the audit log, also what it
// did while no server ran.
func TestCommandLineIsAudited(t *testing.T) {
	state := t.TempDir()
	t.Setenv("SUDO_USER", "installer")
	token := add(t, state, "plant-7")
	p := start(t, state)
	e := p.audited("gateway_added", "plant-7")
	me, err := user.Current()
	if err != nil || e.Gateway != "plant-7" || e.Details["user"] != me.Username+", by sudo from installer" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, args := range []string{"token add plant-8 --new", "gateway add plant-9", "gateway remove plant-7"} {
		if code, _, errs := do(t, append(strings.Fields(args), "--state", state)...); code != 0 {
			t.Fatal(errs)
		}
	}
	p.audited("token_made", "plant-8")
	p.audited("gateway_added", "plant-9")
	p.audited("gateway_removed", "plant-7")
	p.end(syscall.SIGTERM)
	p = start(t, state)
	p.audited("gateway_removed", "plant-7")
	trail := p.asOperator("/v1/audit")
	if n := strings.Count(trail, "\n"); n != 4 || strings.Contains(trail, token[len(token)-64:]) {
		t.Errorf("%d entries:\n%s", n, trail)
	}
	for end := time.Now().Add(answerWithin); ; time.Sleep(50 * time.Millisecond) {
		left, err := os.ReadDir(filepath.Join(state, "gateways", "audits"))
		if err == nil && len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%v is left, %v", left, err)
		}
	}
	p.end(syscall.SIGTERM)
	// Where it cannot be noted, the command says so; what it did it did.
	audits := filepath.Join(state, "gateways", "audits")
	if err := os.Remove(audits); err != nil {
		t.Fatal(err)
	}
	write(t, audits, "in the way")
	code, out, errs := do(t, "gateway", "add", "plant-10", "--state", state)
	if code != 1 || !strings.HasPrefix(out, "fg1_plant-10_") || !strings.Contains(errs, "it was done, but the audit log does not say so") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}
