package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// A gateway that runs without a credential is enrolled beside it, with a token
// or a certificate, and its readings arrive; the one-time token opens nothing
// more.
func TestEnroll(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"", "--mtls"} {
		t.Run("with"+kind, func(t *testing.T) { enrolled(t, kind) })
	}
}

func enrolled(t *testing.T, kind string) {
	cloud := newCloud(t, "plant-7")
	lost := cloud.Enrol(t) // of the board that this one takes the place of
	cloud.Start(t)
	dir, addr := t.TempDir(), e2e.FreeAddr(t)
	ca := filepath.Join(cloud.State, "ca.pem")
	state := filepath.Join(dir, "state")
	text := fmt.Sprintf("version = 1\n[gateway]\nid = %q\n[uplink]\nurl = %q\nca = %q\n[store]\ndir = %q\n"+
		"[local]\nlisten = %q\nview = \"open\"\n", cloud.Gateway, cloud.URL(), ca, state, addr)
	text += "[[device]]\nid = \"chip\"\ndriver = \"lm75\"\nmodel = \"tmp105\"\nbus = \"sim-0\"\naddress = 0x48\ninterval = \"100ms\"\n"
	st := &testGateway{config: write(t, filepath.Join(dir, "fieldgate.toml"), text), log: filepath.Join(dir, "log"), program: program}
	st.start(t)
	screen := e2e.Watch(t, addr)
	screen.Await(t, "without a credential", 0, func(_ []e2e.Reading, s e2e.Status) bool { return s.Uplink.State == "no_credential" })

	once, err := exec.Command(cloud.Program, "token", "add", cloud.Gateway, "--state", cloud.State).Output()
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(dir, "once"), string(once))
	args := []string{"enroll", strings.TrimSuffix(cloud.URL(), "/v1/gateway"), "--token-file", file, "--config", st.config}
	if kind != "" {
		args = append(args, kind)
	}
	code, out, errs := outcome(t, args...)
	if code != cli.ExitOK || !strings.Contains(out, "enrolled as plant-7") || strings.Contains(out+errs, strings.TrimSpace(string(once))) {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the one-time token is still there")
	}
	if info, err := os.Stat(filepath.Join(state, "credential.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the credential: %v, %v", info, err)
	}
	screen.Await(t, "online", 0, func(_ []e2e.Reading, s e2e.Status) bool { return s.Uplink.State == "online" })
	readings, _, _ := screen.Snapshot()
	cloud.AwaitAll(t, readings)

	// Another board, with the same token, is refused; this one goes on.
	write(t, file, string(once))
	other := write(t, filepath.Join(dir, "other.toml"), strings.Replace(text, state, state+"2", 1))
	args[slices.Index(args, st.config)] = other
	if code, out, errs := outcome(t, args...); code != cli.ExitFailed || !strings.Contains(errs, "one-time token") ||
		strings.Contains(out+errs, strings.TrimSpace(string(once))) {
		t.Errorf("with a token that is used: exit %d\n%s%s", code, out, errs)
	}
	held, err := os.ReadFile(filepath.Join(cloud.State, "gateways", "plant-7.json"))
	hash := sha256.Sum256(unhex(t, lost[len(lost)-64:]))
	if err != nil || strings.Contains(string(held), hex.EncodeToString(hash[:])) {
		t.Errorf("the credential of the board before is still good: %s, %v", held, err)
	}
	st.end(t, syscall.SIGTERM)
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEnrollRefuses(t *testing.T) {
	dir := t.TempDir()
	cfg := write(t, filepath.Join(dir, "c.toml"), "version = 1\n[gateway]\nid = \"plant-7\"\n[store]\ndir = \""+dir+"/state\"\n")
	good := write(t, filepath.Join(dir, "good"), "fge1_plant-7_00112233445566778899aabbccddeeff")
	other := write(t, filepath.Join(dir, "other"), "fge1_plant-8_00112233445566778899aabbccddeeff")
	open := write(t, filepath.Join(dir, "open"), "fge1_plant-7_00112233445566778899aabbccddeeff")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	real := write(t, filepath.Join(dir, "real"), "fg1_plant-7_00")
	for _, c := range []struct {
		url, file, says string
	}{
		{"http://cloud.test", good, "https://"},
		{"https://u:p@cloud.test", good, "user name"},
		{"cloud.test", good, "not the address"},
		{"https://127.0.0.1:1", good, "run the same command again"},
		{"https://cloud.test", other, `is for gateway "plant-8"`},
		{"https://cloud.test", open, "chmod 600 " + open},
		{"https://cloud.test", real, "not a one-time token"},
	} {
		code, out, errs := outcome(t, "enroll", c.url, "--token-file", c.file, "--config", cfg)
		if code != cli.ExitFailed || !strings.Contains(errs, c.says) || strings.Contains(out+errs, "00112233") {
			t.Errorf("%s %s: exit %d, without %q:\n%s%s", c.url, c.file, code, c.says, out, errs)
		}
	}
}
