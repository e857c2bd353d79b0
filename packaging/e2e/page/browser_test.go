package page_test

import (
	"context"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A browser is a headless Chromium with one page, and what that page did.
type browser struct {
	ctx context.Context

	mu      sync.Mutex
	hosts   []string // asked by the page
	faults  []string // errors and warnings in the console
	sockets int      // WebSockets opened
}

// stoppedClock lets the page's time go on only when a test says so: how busy
// the machine is plays no part in what the page shows. heardAt is the time of
// the last message of a WebSocket.
const stoppedClock = `{
	let at = Date.now();
	Date.now = () => at;
	window.advance = ms => at += ms;
	window.setTime = t => at = t;
	window.heardAt = 0;
	const Plain = WebSocket;
	window.WebSocket = class extends Plain {
		constructor(...args) {
			super(...args);
			this.addEventListener("message", () => window.heardAt = at);
		}
	};
}`

// openBrowser starts a Chromium of its own, which ends with the test.
func openBrowser(t *testing.T, width, height int) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		skip(t, "chromium is missing: apt-get install chromium")
	}
	flags := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{}
	if err := chromedp.Listen(ctx, b.note); err != nil { // starts it
		t.Fatal(err)
	}
	b.ctx, cancel = context.WithTimeout(ctx, 8*time.Minute) // for a page that never shows what it should
	t.Cleanup(cancel)
	b.run(t,
		command(network.Enable, network.EnableParams{}),
		command(log.Enable, cdp.Empty{}),
		command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: stoppedClock}),
		command(runtime.Enable, cdp.Empty{}),
		// A window cannot be as narrow as a phone; its content can.
		command(emulation.SetDeviceMetricsOverride,
			emulation.SetDeviceMetricsOverrideParams{Width: int64(width), Height: int64(height), DeviceScaleFactor: 1, Mobile: width < 600}))
	return b
}

// command makes an action of a command of the browser's protocol.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// note is called for everything that happens in the page.
func (b *browser) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.noteHostLocked(e.Request.URL)
	case *network.EventWebSocketCreated:
		b.sockets++
		b.noteHostLocked(e.URL)
	case *runtime.EventConsoleAPICalled:
		b.faults = append(b.faults, "console "+string(e.Type))
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		b.faults = append(b.faults, e.Entry.Text)
	}
}

func (b *browser) noteHostLocked(address string) {
	if u, err := url.Parse(address); err == nil && !slices.Contains(b.hosts, u.Host) {
		b.hosts = append(b.hosts, u.Host)
	}
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// await waits until a JavaScript expression is true, however long that takes
// within the test's limit.
func (b *browser) await(t *testing.T, expression string) {
	t.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(50*time.Millisecond),
		chromedp.WithPollingTimeout(0)))
	if err == nil {
		return
	}
	shown, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 5*time.Second)
	defer cancel()
	text, _ := chromedp.Run(shown, chromedp.Text(chromedp.CSS("body"))) // nothing to show then
	t.Fatalf("%s never came true: %v; the page says:\n%s", expression, err, text)
}

// text waits until the element says something that contains want.
func (b *browser) text(t *testing.T, selector, want string) {
	t.Helper()
	b.await(t, `document.querySelector("`+selector+`")?.innerText.includes("`+want+`")`)
}

// evaluate runs JavaScript in the page.
func evaluate[T any](t *testing.T, b *browser, script string) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (b *browser) socketCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sockets
}

// took gives what the page did so far, and forgets the faults.
func (b *browser) took() (hosts, faults []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults, b.faults = b.faults, nil
	return slices.Clone(b.hosts), faults
}

// checkClean fails if the page complained or asked another host.
func (b *browser) checkClean(t *testing.T, host string) {
	t.Helper()
	hosts, faults := b.took()
	if len(hosts) != 1 || hosts[0] != host {
		t.Errorf("the page asked %v, want only %s", hosts, host)
	}
	if len(faults) > 0 {
		t.Errorf("the console says:\n%s", strings.Join(faults, "\n"))
	}
}
