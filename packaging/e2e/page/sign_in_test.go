package page_test

import (
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
)

const boilerTile = "[data-channel='boiler/temperature']"

// Who is not let in gets a form for the token, and the readings with it. A
// wrong token is told as wrong, whatever characters it has.
func TestPageAsksForTheToken(t *testing.T) {
	const odd = "Schlüssel+zum/Kesselhaus → 水%&"
	b := openBrowser(t, 360, 740)
	o := options()
	o.View, o.Token = "login", func() (string, error) { return canary, nil }
	addr := start(t, o)
	publish(o.Hub, 1, 61.5)
	b.run(t, chromedp.Navigate("http://"+addr+"/"))
	b.text(t, "form", "token")
	b.run(t, chromedp.SendKeys(chromedp.CSS("#token"), odd), chromedp.Click(chromedp.CSS("form button")))
	b.text(t, "form", "This is not the token of this gateway.")
	if kept := evaluate[float64](t, b, "localStorage.length"); kept != 0 {
		t.Error("a wrong token is kept")
	}
	evaluate[bool](t, b, `(document.querySelector("#token").select(), true)`)
	b.run(t, chromedp.SendKeys(chromedp.CSS("#token"), canary), chromedp.Click(chromedp.CSS("form button")))
	b.text(t, boilerTile, "61.5")
}

// A token in the address signs in once, and is not to be seen there any more.
func TestPageTakesTheTokenFromItsAddress(t *testing.T) {
	const odd = "Schlüssel+zum/Kesselhaus%&=#"
	for name, token := range map[string]string{"plain": canary, "odd": odd} {
		for _, at := range []string{"/#token=", "/?token="} {
			t.Run(name+at, func(t *testing.T) {
				b := openBrowser(t, 360, 740)
				o := options()
				o.View, o.Token = "login", func() (string, error) { return token, nil }
				addr := start(t, o)
				publish(o.Hub, 1, 61.5)
				b.run(t, chromedp.Navigate("http://"+addr+at+strings.ReplaceAll(url.QueryEscape(token), "%2B", "+")))
				b.text(t, boilerTile, "61.5")
				if got := evaluate[string](t, b, "location.href"); got != "http://"+addr+"/" {
					t.Errorf("the address is %s", got)
				}
				if got := evaluate[float64](t, b, "history.length"); got > 2 { // the empty page and this one
					t.Errorf("%v entries in the history", got)
				}
				b.run(t, chromedp.Navigate("http://"+addr+"/")) // the token was kept
				b.text(t, boilerTile, "61.5")
			})
		}
	}
}

// Why nobody can sign in is told in words, and the page comes back by itself.
func TestPageTellsWhyNobodyCanSignIn(t *testing.T) {
	b := openBrowser(t, 360, 740)
	o := options()
	var fails atomic.Bool
	fails.Store(true)
	o.View, o.Token = "login", func() (string, error) {
		if fails.Load() {
			return "", errors.New("open local.token: permission denied")
		}
		return canary, nil
	}
	addr := start(t, o)
	publish(o.Hub, 1, 61.5)
	b.run(t, chromedp.Navigate("http://"+addr+"/#token="+canary))
	b.text(t, "form", "This gateway cannot read its token file")
	fails.Store(false)
	b.text(t, boilerTile, "61.5")
}
