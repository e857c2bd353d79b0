package local

import (
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
)

// The page in a real browser, against a real server: tiles move, the uplink
// and the buffer are told in words, a lost gateway is told without taking the
// last values away, and all is live again when it returns.
func TestPageInABrowser(t *testing.T) {
	b := openBrowser(t, 360, 740)
	o, _ := options()
	var outage atomic.Bool
	plain := o.Status
	o.Status = func() Status {
		st := plain()
		st.Store = Store{FlushInterval: 5, LossWindow: 5.1}
		if outage.Load() {
			st.Uplink = Uplink{State: UplinkWaiting, LastError: "the cloud does not answer"}
			st.Store.Unacked = 12480
		}
		return st
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(t, s)
	addr := s.Addr().String()
	publish(o.Hub, 1, 61.5)

	const tile = "[data-channel='boiler/temperature']"
	b.run(t, chromedp.Navigate("http://"+addr+"/"))
	b.text(t, tile, "61.5")
	b.text(t, tile, "°C")
	b.text(t, tile+" .age", "ago")
	b.text(t, "[aria-label='Uplink']", "Connected to the cloud")
	b.text(t, "[aria-label='Buffer']", "Nothing waits for the cloud")
	b.text(t, "[aria-label='Buffer']", "A power cut costs at most 5.1 s")
	publish(o.Hub, 2, 62.25)
	b.text(t, tile, "62.25")

	outage.Store(true)
	b.text(t, "[aria-label='Uplink']", "No connection to the cloud")
	b.text(t, "[aria-label='Buffer']", "12,480 readings wait for the cloud")
	b.await(t, "document.documentElement.scrollWidth <= 360") // nothing sticks out of a phone's screen
	b.checkClean(t, addr)

	stop()
	b.text(t, ".banner", "No connection to the gateway")
	b.text(t, tile, "62.25")
	o.Listen = addr
	if s, err = New(o); err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	publish(o.Hub, 3, 63)
	b.text(t, tile, "63")
	b.await(t, `!document.querySelector(".banner").classList.contains("shown")`)
	if hosts, _ := b.took(); len(hosts) != 1 || hosts[0] != addr {
		t.Errorf("the page asked %v, want only %s", hosts, addr)
	}
}

// Who is not let in gets a form for the token, and the readings with it.
func TestPageAsksForTheToken(t *testing.T) {
	b := openBrowser(t, 360, 740)
	o, _ := options()
	o.View, o.Token = "login", func() (string, error) { return "opensesame", nil }
	_, addr := start(t, o)
	publish(o.Hub, 1, 61.5)
	b.run(t, chromedp.Navigate("http://"+addr+"/"))
	b.text(t, "form", "token")
	b.run(t,
		chromedp.SendKeys(chromedp.CSS("#token"), "opensesame"),
		chromedp.Click(chromedp.CSS("form button")))
	b.text(t, "[data-channel='boiler/temperature']", "61.5")
}
