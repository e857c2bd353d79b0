package page_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/fieldgate/fieldgate/gateway/local"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// TestMain lets the test binary be a server, for tests that stop or kill it.
func TestMain(m *testing.M) {
	if os.Getenv("FIELDGATE_TEST_SERVER") == "" {
		os.Exit(m.Run())
	}
	o := options()
	s := local.New(o)
	publish(o.Hub, 1, 61.5)
	fmt.Println(s.Addr())
	_ = s.Run(context.Background())
}

// startProcess runs a server in a process of its own.
func startProcess(t *testing.T) (p *os.Process, addr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "FIELDGATE_TEST_SERVER=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed: it says so
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the server ended at once")
	}
	return cmd.Process, lines.Text()
}

// Five seconds after the last word of a gateway that was stopped or killed the
// page says that it is not live, and nothing on it is green.
func TestPageIsNotGreenWithoutTheGateway(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			b := openBrowser(t, 360, 740)
			p, addr := startProcess(t)
			b.run(t, chromedp.Navigate("http://"+addr+"/"))
			b.text(t, ".link", "Live")
			b.text(t, "[aria-label='Health']", "All is well.")
			b.text(t, boilerTile, "61.5")
			if err := p.Signal(signal); err != nil {
				t.Fatal(err)
			}
			b.await(t, `(setTime(heardAt + 5000), document.querySelector(".link").innerText.includes("Not live"))`)
			b.text(t, "[aria-label='Health']", "The gateway is not heard")
			b.await(t, `document.querySelector(".tile").classList.contains("stale")`)
			if green := evaluate[float64](t, b, `document.querySelectorAll(".good, .live").length`); green != 0 {
				t.Errorf("%v things are green", green)
			}
			before := evaluate[string](t, b, `document.querySelector("footer").innerText`)
			evaluate[float64](t, b, "advance(60000)")
			b.text(t, ".tile .age", "1 min")
			if after := evaluate[string](t, b, `document.querySelector("footer").innerText`); after != before {
				t.Errorf("it counts on: %s, then %s", before, after)
			}
			if signal != syscall.SIGSTOP {
				return
			}
			if err := p.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			b.text(t, ".link", "Live")
			b.text(t, "[aria-label='Health']", "All is well.")
		})
	}
}

// A phone that slept shows nothing green before the gateway is heard again.
func TestPageIsNotGreenAfterSleep(t *testing.T) {
	b := openBrowser(t, 360, 740)
	p, addr := startProcess(t)
	b.run(t, chromedp.Navigate("http://"+addr+"/"))
	b.text(t, "[aria-label='Health']", "All is well.")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	evaluate[bool](t, b, `(() => {
		let hidden = true
		Object.defineProperty(document, "hidden", { get: () => hidden })
		document.dispatchEvent(new Event("visibilitychange"))
		advance(600000)
		hidden = false
		document.dispatchEvent(new Event("visibilitychange"))
		return true
	})()`)
	b.text(t, "[aria-label='Health']", "Asking the gateway")
	if green := evaluate[float64](t, b, `document.querySelectorAll(".good, .live").length`); green != 0 {
		t.Errorf("%v things are green", green)
	}
}

// All is well only when a cloud that is set up has the readings, too.
func TestPageIsNotGreenWhileReadingsWait(t *testing.T) {
	b := openBrowser(t, 360, 740)
	o := options()
	cases := []struct {
		state  local.UplinkState
		store  local.Store
		mood   string
		health string
	}{
		{local.UplinkOnline, local.Store{}, "good", "All is well."},
		{local.UplinkOnline, local.Store{Unacked: 38_000_000, OldestUnacked: 12 * 86400}, "wait",
			"38,000,000 readings waiting for the cloud. The oldest was measured 12 d 0 h ago."},
		{local.UplinkOnline, local.Store{Unacked: 20, OldestUnacked: 2}, "good", "All is well."},
		{local.UplinkOnline, local.Store{Unacked: 500_000, OldestUnacked: 2}, "wait", "500,000 readings waiting for the cloud."},
		{local.UplinkWaiting, local.Store{}, "wait", "No connection to the cloud"},
		{local.UplinkPaused, local.Store{Unacked: 1, OldestUnacked: 1}, "wait", "The cloud takes no readings for now"},
		{local.UplinkNoCredential, local.Store{Unacked: 1, OldestUnacked: 90}, "wait",
			"1 reading waiting for the cloud. The oldest was measured 1 min 30 s ago."},
		{local.UplinkOff, local.Store{Unacked: 38_000_000, OldestUnacked: 12 * 86400}, "good", "All is well."},
	}
	var now atomic.Int64
	plain := o.Status
	o.Status = func() local.Status {
		st := plain()
		c := cases[now.Load()]
		st.Uplink, st.Store = local.Uplink{State: c.state}, c.store
		return st
	}
	addr := start(t, o)
	b.run(t, chromedp.Navigate("http://"+addr+"/"))
	for i, c := range cases {
		now.Store(int64(i))
		b.text(t, "[aria-label='Health']", c.health)
		b.await(t, `document.querySelector("[aria-label='Health']").classList.contains("`+c.mood+`")`)
		if i == 1 {
			b.await(t, `document.querySelector("[aria-label='Buffer'] .dot").classList.contains("wait")`)
		}
	}
	b.checkClean(t, addr)
}

// nginxConf has a proxy that leaves the port out of Host, one that names the
// gateway's own address, as nginx does by default, and one that lets no
// WebSocket through.
const nginxConf = `daemon off; master_process off; pid %[1]s/pid; error_log stderr; events { worker_connections 64; }
http { access_log off; proxy_http_version 1.1; map $http_upgrade $cu { default upgrade; '' close; }
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server { listen %[3]s; location / { proxy_pass http://%[2]s; proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $cu; } }
	server { listen %[4]s; location / { proxy_pass http://%[2]s; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $cu; } }
	server { listen %[5]s; location / { proxy_pass http://%[2]s; proxy_set_header Host $host; } }
}`

// The page is live behind proxies as people set them up.
func TestPageBehindProxies(t *testing.T) {
	o := options()
	gateway := start(t, o)
	publish(o.Hub, 1, 61.5)
	dir := t.TempDir()
	proxies := []string{e2e.FreeAddr(t), e2e.FreeAddr(t), e2e.FreeAddr(t)}
	startNginx(t, dir, fmt.Sprintf(nginxConf, dir, gateway, proxies[0], proxies[1], proxies[2]), proxies[2])
	for i, proxy := range proxies {
		b := openBrowser(t, 360, 740)
		b.run(t, chromedp.Navigate("http://"+proxy+"/"))
		b.text(t, boilerTile, "61.5")
		b.text(t, ".link", "Live")
		publish(o.Hub, uint64(2+i), 62.25+float64(i))
		b.text(t, boilerTile, fmt.Sprint(62.25+float64(i)))
		if i == 0 {
			b.checkClean(t, proxy)
		}
		publish(o.Hub, uint64(10+i), 61.5)
	}
}

// startNginx runs nginx and waits until it listens on addr.
func startNginx(t *testing.T, dir, conf, addr string) {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		skip(t, "nginx is missing: apt-get install nginx")
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-e", "stderr", "-c", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed: it says so
	})
	for { // an nginx that ended never listens: the test's own limit tells
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
			return
		}
	}
}
