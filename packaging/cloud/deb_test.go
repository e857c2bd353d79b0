//go:build deb

package cloud_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

func packages(t *testing.T, pattern string, want int) []string {
	t.Helper()
	debs, err := filepath.Glob("../../dist/" + pattern)
	if err != nil || len(debs) != want {
		t.Fatalf("dist/ has %v, want %d of %s: run make deb", debs, want, pattern)
	}
	return debs
}

func TestLintian(t *testing.T) {
	for _, deb := range packages(t, "*.deb", 4) {
		out, err := exec.Command("lintian", "--pedantic", "--allow-root", "--fail-on", "error,warning,info,pedantic", deb).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(deb), err, out)
		}
	}
}

// The documents of a package lie in one folder, and their links lead to each
// other.
func TestDocuments(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)`)
	for _, deb := range packages(t, "*_amd64.deb", 2) {
		dir := t.TempDir()
		if out, err := exec.Command("dpkg-deb", "-x", deb, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		files, err := filepath.Glob(filepath.Join(dir, "usr/share/doc/*/*.md"))
		if err != nil || len(files) < 10 {
			t.Fatalf("%s has the documents %q: %v", deb, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllSubmatch(text, -1) {
				if to := string(m[1]); !strings.Contains(to, "://") {
					if _, err := os.Stat(filepath.Join(filepath.Dir(file), to)); err != nil {
						t.Errorf("%s: %v", file, err)
					}
				}
			}
		}
	}
}

// What the sandboxes leave open, by systemd's own measure: 10 is everything.
func TestExposure(t *testing.T) {
	for _, unit := range []string{"fieldgate", "fieldgate-cloud"} {
		out, err := exec.Command("systemd-analyze", "security",
			"--offline=yes", "--threshold=20", "../../systemd/"+unit+".service").CombinedOutput()
		m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if err != nil || m == nil {
			t.Fatalf("%s: %v\n%s", unit, err, out)
		}
		t.Logf("%s.service: exposure %s", unit, m[1])
	}
}

// root gives this system's file tree, what is written to which goes to memory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "root")
	if err != nil {
		t.Fatal(err)
	}
	upper, work, merged := filepath.Join(dir, "upper"), filepath.Join(dir, "work"), filepath.Join(dir, "merged")
	err = unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755")
	for _, d := range []string{upper, work, merged} {
		err = errors.Join(err, os.Mkdir(d, 0o755))
	}
	if err == nil {
		err = unix.Mount("overlay", merged, "overlay", 0, "lowerdir=/,upperdir="+upper+",workdir="+work)
	}
	for _, d := range []string{"dev", "proc", "sys"} {
		if err == nil {
			err = unix.Mount("/"+d, filepath.Join(merged, d), "", unix.MS_BIND|unix.MS_REC, "")
		}
	}
	t.Cleanup(func() {
		for _, d := range []string{filepath.Join(merged, "sys"), filepath.Join(merged, "proc"), filepath.Join(merged, "dev"), merged, dir} {
			_ = unix.Unmount(d, unix.MNT_DETACH)
		}
		_ = os.Remove(dir)
	})
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: cannot make a copy of the file tree: %v", err)
	}
	return merged
}

// inside runs a program in the tree; who nil is root.
func inside(t *testing.T, tree string, who *syscall.Credential, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: tree, Credential: who, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// serviceUser is the user that the package made, as its unit names it.
func serviceUser(t *testing.T, tree string) *syscall.Credential {
	t.Helper()
	fields := strings.Split(must(t, inside(t, tree, nil, "getent", "passwd", "fieldgate-cloud")), ":")
	uid, err1 := strconv.Atoi(fields[2])
	gid, err2 := strconv.Atoi(fields[3])
	if err := errors.Join(err1, err2); err != nil || uid == 0 {
		t.Fatalf("user is %q (%v)", fields, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// The package is installed, a gateway is added, and the service is started by
// the line of its unit, as its user; it says when it is ready and alive, stops
// in order, and what it keeps outlives a purge.
func TestInstalled(t *testing.T) {
	deb, err := os.ReadFile(packages(t, "fieldgate-cloud_*_amd64.deb", 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	tree := root(t)
	if err := os.WriteFile(filepath.Join(tree, "root", "cloud.deb"), deb, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, inside(t, tree, nil, "dpkg", "-i", "/root/cloud.deb"))
	who := serviceUser(t, tree)
	state := filepath.Join(tree, "var/lib/fieldgate-cloud")
	if err := errors.Join(os.MkdirAll(state, 0o700), os.Chown(state, int(who.Uid), int(who.Gid))); err != nil { // StateDirectory=
		t.Fatal(err)
	}
	token := must(t, inside(t, tree, who, "/usr/bin/fieldgate-cloud", "gateway", "add", "plant-7", "--state", "/var/lib/fieldgate-cloud"))
	if !strings.HasPrefix(token, "fg1_plant-7_") {
		t.Errorf("the token is %q", token)
	}
	addr := e2e.FreeAddr(t)
	server, manager := startUnit(t, tree, who, addr)
	await(t, manager, "READY=1\nSTATUS=serving on "+addr)
	if status := ready(t, addr, filepath.Join(state, "ca.pem")); status != http.StatusOK {
		t.Errorf("/readyz answers %d", status)
	}
	await(t, manager, "WATCHDOG=1")
	_ = server.Process.Signal(syscall.SIGTERM)
	await(t, manager, "STOPPING=1")
	if err := server.Wait(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if page := must(t, inside(t, tree, nil, "man", "-P", "cat", "fieldgate-cloud")); !strings.Contains(page, "operator.token") {
		t.Errorf("the manual page says\n%s", page)
	}
	must(t, inside(t, tree, nil, "dpkg", "--purge", "fieldgate-cloud"))
	if _, err := os.Stat(filepath.Join(state, "log")); err != nil {
		t.Errorf("after a purge: %v", err)
	}
	if left := must(t, inside(t, tree, nil, "sh", "-c",
		"ls /etc/default/fieldgate-cloud /usr/bin/fieldgate-cloud 2>/dev/null || true")); left != "" {
		t.Errorf("after a purge there is still %s", left)
	}
}

// startUnit runs the ExecStart= of the installed unit with the options that
// the package ships, at another address.
func startUnit(t *testing.T, tree string, who *syscall.Credential, addr string) (*exec.Cmd, *net.UnixConn) {
	t.Helper()
	unit, err1 := os.ReadFile(filepath.Join(tree, "lib/systemd/system/fieldgate-cloud.service"))
	shipped, err2 := os.ReadFile(filepath.Join(tree, "etc/default/fieldgate-cloud"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindSubmatch(unit)
	options := regexp.MustCompile(`(?m)^OPTIONS="(.*)"$`).FindSubmatch(shipped)
	if line == nil || options == nil || !bytes.Contains(options[1], []byte(":8443")) {
		t.Fatalf("the unit starts %q with %q", line, options)
	}
	command := strings.Replace(string(line[1]), "$OPTIONS", strings.Replace(string(options[1]), ":8443", addr, 1), 1)
	socket := filepath.Join(tree, "run", "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := inside(t, tree, who, strings.Fields(command)...)
	cmd.Env = []string{"NOTIFY_SOCKET=/run/notify"}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, conn
}

// await hears the manager's socket until want comes.
func await(t *testing.T, conn *net.UnixConn, want string) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("the service did not say %q: %v", want, err)
		}
		if string(buf[:n]) == want {
			return
		}
	}
}

func ready(t *testing.T, addr, ca string) int {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}
