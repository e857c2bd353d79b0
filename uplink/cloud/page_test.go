package cloud_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud"
)

// checkpoint is what an operator might serve: it gets a ticket, listens with it, and
// reads the gateways. It tells its own server how that went.
const checkpoint = `<!doctype html><title>ops</title><script>
(async () => {
	const cloud = %q, headers = {Authorization: "Bearer " + %q}
	try {
		const ticket = await (await fetch(cloud + "/v1/ws-ticket", {method: "POST", headers})).json()
		const first = await new Promise((heard, failed) => {
			const ws = new WebSocket(cloud.replace("https", "wss") + "/v1/live", ticket.subprotocols)
			ws.onmessage = e => heard(e.data)
			ws.onclose = e => failed(new Error("closed with " + e.code))
		})
		const list = await (await fetch(cloud + "/v1/gateways", {headers})).json()
		return "live " + JSON.parse(first).gateway_id + ", list " + list.gateways[0].gateway_id
	} catch (e) { return String(e) }
})().then(text => fetch("/told", {method: "POST", body: text}))
</script>`

// A page that comes from another origin than the cloud, in a browser: with its
// origin allowed it hears the stream, without it learns nothing.
func TestPageOfAnotherOriginInABrowser(t *testing.T) {
	s := newSite(t, nil)
	allowed, told := pageServer(t)
	other, toldOther := pageServer(t)
	origin, err := cloud.CheckOrigin(allowed.URL)
	if err != nil {
		t.Fatal(err)
	}
	server := cloud.New(cloud.Options{
		Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log,
		Credentials: s.creds, OperatorToken: operatorToken, Logger: quiet(t), Origins: []string{origin},
	})
	site := httptest.NewTLSServer(server)
	t.Cleanup(func() { server.Close(); site.Close() })
	allowed.Config.Handler.(*http.ServeMux).HandleFunc("GET /{$}", servePage(site.URL))
	other.Config.Handler.(*http.ServeMux).HandleFunc("GET /{$}", servePage(site.URL))
	browse(t, allowed.URL)
	if got := within(t, told); got != "live plant_7, list plant_7" {
		t.Errorf("the page of an origin that is allowed: %s", got)
	}
	browse(t, other.URL)
	if got := within(t, toldOther); !strings.HasPrefix(got, "TypeError") {
		t.Errorf("the page of another origin: %s", got)
	}
}

func servePage(site string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, checkpoint, site, operatorToken) }
}

// pageServer serves a page, and passes on what the page tells it.
func pageServer(t *testing.T) (*httptest.Server, <-chan string) {
	t.Helper()
	told := make(chan string, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /told", func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			text = []byte(err.Error())
		}
		told <- string(text)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s, told
}

// browse opens a page in a Chromium of its own until the test ends.
func browse(t *testing.T, url string) {
	t.Helper()
	c := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--remote-debugging-port=0",
		"--disable-component-update", "--disable-background-networking", "--no-first-run", "--user-data-dir="+t.TempDir(), url)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatalf("start chromium (apt-get install chromium): %v", err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait() // it was killed
	})
}

func within(t *testing.T, told <-chan string) string {
	t.Helper()
	select {
	case text := <-told:
		return text
	case <-time.After(2 * time.Minute):
		t.Fatal("the page tells nothing")
		return ""
	}
}
