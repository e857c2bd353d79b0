package page_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/local"
)

// The page in a real browser, against a real server: tiles move, the uplink
// and the buffer are told in words, a lost gateway is told without taking the
// last values away, and all is live again when it returns.
func TestPageInABrowser(t *testing.T) {
	b := openBrowser(t, 360, 740)
	o := options()
	var outage atomic.Bool
	plain := o.Status
	o.Status = func() local.Status {
		st := plain()
		st.Store = local.Store{FlushInterval: 5, LossWindow: 5.1}
		if outage.Load() {
			st.Uplink = local.Uplink{State: local.UplinkWaiting, LastError: "the cloud does not answer"}
			st.Store.Unacked = 12480
			st.Store.TimeToFull, st.Store.WrittenDaily, st.Store.CardYears, st.Uptime = 40*86400, 3<<20, 41.2, 86400
			st.Store.UncleanStops, st.Store.Thinned, st.Store.GapReadings = 2, 5000, map[string]uint64{"unclean_stop": 15}
		}
		return st
	}
	s := local.New(o)
	stop := serve(t, s)
	addr := s.Addr()
	publish(o.Hub, 1, 61.5)

	const tile = "[data-channel='boiler/temperature']"
	b.run(t, chromedp.Navigate("http://"+addr+"/"))
	b.text(t, tile, "61.5")
	b.text(t, tile, "°C")
	b.text(t, tile+" .age", "just now")
	b.text(t, "[aria-label='Uplink']", "Connected to the cloud")
	b.text(t, "[aria-label='Buffer']", "Nothing waits for the cloud")
	b.text(t, "[aria-label='Buffer']", "A power cut loses at most 5.1 s")
	b.text(t, "[aria-label='Storage']", "0 readings kept here")
	publish(o.Hub, 2, 62.25)
	b.text(t, tile, "62.25")
	watchShifts(t, b)

	outage.Store(true)
	b.text(t, "[aria-label='Uplink']", "No connection to the cloud")
	b.text(t, "[aria-label='Buffer']", "12,480 readings waiting")
	b.text(t, "[aria-label='Storage']", "Room for 40 d without the cloud")
	b.text(t, "[aria-label='Storage']", "Twice started after a power cut since yesterday. "+
		"Lost at most 15 in power cuts. Of 5000 only a summary is left. 0 B on the card, 3.00 MiB written a day: it lasts about 41 years.")
	b.await(t, "document.documentElement.scrollWidth <= 360") // nothing sticks out of a phone's screen
	b.checkClean(t, addr)

	stop()
	b.text(t, ".banner", "No connection to the gateway")
	b.text(t, tile, "62.25")
	o.Listen = addr
	serve(t, local.New(o))
	publish(o.Hub, 3, 63)
	b.text(t, tile, "63")
	b.await(t, `!document.querySelector(".banner").classList.contains("shown")`)
	if hosts, _ := b.took(); len(hosts) != 1 || hosts[0] != addr { // the console may tell of refused connections
		t.Errorf("the page asked %v, want only %s", hosts, addr)
	}
	if got := evaluate[float64](t, b, "window.shifts"); got != 0 {
		t.Errorf("the page moved by %v under the reader's finger, want 0", got)
	}
}

// watchShifts adds up from now on, and from the load, what moves by itself.
func watchShifts(t *testing.T, b *browser) {
	t.Helper()
	evaluate[bool](t, b, `window.shifts = 0, new PerformanceObserver(list => {
		for (const e of list.getEntries()) if (!e.hadRecentInput) window.shifts += e.value
	}).observe({type: "layout-shift", buffered: true}), true`)
}

// What is wrong stands in sentences, the worst first, all of it at a tap; and
// everything is large enough to read and to hit.
func TestPageTellsConditions(t *testing.T) {
	b := openBrowser(t, 360, 740)
	o := options()
	plain := o.Status
	o.Status = func() local.Status {
		st := plain()
		st.Config = &local.Config{Version: 7, Refused: &local.RefusedConfig{Version: 8, State: "rolled_back",
			Errors: []string{"with it the cloud was not reached", "two", "three"}}}
		st.Devices[0].State = local.DeviceAbsent
		st.Health = []health.Condition{
			{Code: "sensor_absent", Subject: "boiler", Severity: health.Error, Sentence: "The boiler does not answer.",
				Since: testNow.Add(-3 * time.Minute)},
			{Code: "clock_unset", Severity: health.Warning, Sentence: "The clock was never set.", Since: testNow},
		}
		return st
	}
	addr := start(t, o)
	b.run(t, chromedp.Navigate("http://"+addr+"/"))
	b.text(t, "[aria-label='Health']", "The boiler does not answer.")
	b.text(t, "[aria-label='Device boiler']", "does not answer")
	b.text(t, "[data-channel='boiler/humidity']", "no reading yet")
	b.run(t, chromedp.Click(chromedp.CSS("[aria-label='Health'] button")))
	b.text(t, "[aria-label='Health'] ul", "The clock was never set.")
	b.text(t, "[aria-label='Health'] ul", "For 3 min")
	b.text(t, "footer", "Configuration 7 of the cloud.")
	b.text(t, "footer .refused", "Configuration 8 of the cloud was rolled back, the one before it counts: "+
		"With it the cloud was not reached (and 2 more problems)")
	small := evaluate[[]string](t, b, `[...document.querySelectorAll("body *")]
		.filter(e => e.offsetParent && parseFloat(getComputedStyle(e).fontSize) < 16
			|| e.matches("button, a, input") && e.getBoundingClientRect().height < 44)
		.map(e => e.outerHTML)`)
	if len(small) > 0 {
		t.Errorf("text under 16 px or targets under 44 px: %s", small)
	}
	b.checkClean(t, addr)
}

// A phone that slept shows the present at once: it does not trust a connection
// that it could not watch.
func TestPageStartsAfreshAfterSleep(t *testing.T) {
	b := openBrowser(t, 360, 740)
	o := options()
	addr := start(t, o)
	publish(o.Hub, 1, 61.5)
	b.run(t, chromedp.Navigate("http://"+addr+"/"))
	b.text(t, "[data-channel='boiler/temperature']", "61.5")
	b.text(t, ".link", "Live")
	if got := b.socketCount(); got != 1 {
		t.Fatalf("%d WebSockets were opened, want 1", got)
	}
	evaluate[bool](t, b, `(() => {
		let hidden = true
		Object.defineProperty(document, "hidden", { get: () => hidden })
		document.dispatchEvent(new Event("visibilitychange"))
		advance(600000)
		hidden = false
		document.dispatchEvent(new Event("visibilitychange"))
		return document.querySelector(".age").innerText !== ""
	})()`)
	b.text(t, "[data-channel='boiler/temperature']", "just now")
	publish(o.Hub, 2, 62.25)
	b.text(t, "[data-channel='boiler/temperature']", "62.25")
	if got := b.socketCount(); got != 2 {
		t.Errorf("%d WebSockets were opened, want 2", got)
	}
	b.checkClean(t, addr)
}

// A reading that is old looks old, even when the board's clock and the
// phone's differ by years.
func TestPageCountsTheAge(t *testing.T) {
	b := openBrowser(t, 360, 740)
	o := options()
	addr := start(t, o)
	o.Hub.Publish(gateway.Name{Seq: 1}, []gateway.Reading{{Channel: boiler, Value: 1, At: testStamp.Add(-9 * time.Second)}})
	b.run(t, chromedp.Navigate("http://"+addr+"/"))
	const tile = "[data-channel='boiler/temperature']"
	b.text(t, tile, "9 s ago")
	evaluate[float64](t, b, "advance(1000)")
	b.text(t, tile, "10 s ago")
	evaluate[float64](t, b, "advance(1000)")
	b.text(t, tile, "11 s ago")
	b.await(t, `document.querySelector("`+tile+`").classList.contains("stale")`)
}
