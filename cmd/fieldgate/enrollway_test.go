package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// listening starts a program that listens on addr, until the test ends.
func listening(t *testing.T, addr, name string, args ...string) {
	t.Helper()
	p := exec.Command(name, args...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill(); _ = p.Wait() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			_ = c.Close()
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s does not listen: %v", name, err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// An enrolment goes the way of the uplink: its proxy, whose authority it
// knows, and its addresses in their order.
func TestEnrollUsesUplinkProxy(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, "plant-7")
	cloud.Enrol(t)
	cloud.Start(t)
	dir := t.TempDir()
	ca := filepath.Join(cloud.State, "ca.pem")
	socks, plain, secure := e2e.FreeAddr(t), e2e.FreeAddr(t), e2e.FreeAddr(t)
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }
	listening(t, socks, "microsocks", "-i", "127.0.0.1", "-p", port(socks), "-u", "plant", "-P", "pr0xy.passw0rd")
	listening(t, plain, "tinyproxy", "-d", "-c",
		write(t, filepath.Join(dir, "tinyproxy.conf"), "Listen 127.0.0.1\nPort "+port(plain)+"\nAllow 127.0.0.1\n"))
	cert, err1 := os.ReadFile(filepath.Join(cloud.State, "server.pem"))
	key, err2 := os.ReadFile(filepath.Join(cloud.State, "server.key"))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	pair := write(t, filepath.Join(dir, "pair.pem"), string(cert)+string(key))
	listening(t, secure, "haproxy", "-f", write(t, filepath.Join(dir, "haproxy.cfg"),
		"defaults\n\tmode tcp\n\ttimeout connect 5s\n\ttimeout client 1m\n\ttimeout server 1m\n"+
			"listen proxy\n\tbind "+secure+" ssl crt "+pair+"\n\tserver s "+plain+"\n"))
	nobody := e2e.FreeAddr(t)
	for name, c := range map[string]struct {
		uplink string
		args   []string
		fails  string
	}{
		"straight":                  {"url = %[1]q", nil, ""},
		"the second address":        {"url = \"wss://" + nobody + "/v1/gateway\"\nurls = [%[1]q]", nil, ""},
		"SOCKS":                     {"url = %[1]q\nproxy = \"socks5://plant:pr0xy.passw0rd@" + socks + "\"", nil, ""},
		"SOCKS, wrong login":        {"url = %[1]q\nproxy = \"socks5://plant:pr0xy@" + socks + "\"", nil, "the proxy refuses the login"},
		"https proxy":               {"url = %[1]q\nproxy = \"https://localhost:" + port(secure) + "\"\nproxy_ca = %[2]q", nil, ""},
		"https proxy, without CA":   {"url = %[1]q\nproxy = \"https://localhost:" + port(secure) + "\"", nil, "unknown authority"},
		"address given":             {"url = \"wss://" + nobody + "/v1/gateway\"\nproxy = \"http://" + plain + "\"", []string{cloud.URL()}, ""},
		"no address":                {"", nil, "set [uplink] url"},
		"a proxy that is not there": {"url = %[1]q\nproxy = \"http://" + nobody + "\"", nil, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			once, err := exec.Command(cloud.Program, "token", "add", cloud.Gateway, "--state", cloud.State).Output()
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			text := "version = 1\n[gateway]\nid = \"plant-7\"\n[store]\ndir = \"" + filepath.Join(dir, "state") +
				"\"\n[uplink]\nca = \"" + ca + "\"\n"
			if c.uplink != "" {
				text += strings.NewReplacer("%[1]q", fmt.Sprintf("%q", cloud.URL()), "%[2]q", fmt.Sprintf("%q", ca)).Replace(c.uplink) + "\n"
			}
			args := []string{"enroll", "--token-file", write(t, filepath.Join(dir, "once"), string(once)),
				"--config", write(t, filepath.Join(dir, "f.toml"), text)}
			code, out, errs := outcome(t, append(args, c.args...)...)
			if c.fails == "" && (code != cli.ExitOK || !strings.Contains(out, "enrolled as plant-7")) ||
				c.fails != "" && (code == cli.ExitOK || !strings.Contains(errs, c.fails)) {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
			if strings.Contains(out+errs, "pr0xy") {
				t.Errorf("the password is told:\n%s", errs)
			}
		})
	}
}
