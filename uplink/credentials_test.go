package uplink_test

import (
	"context"
	"crypto/x509"
	"io/fs"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
)

func TestNewRefusesAddresses(t *testing.T) {
	for url, word := range map[string]string{
		"ws://cloud.test/":              "wss://",
		"https://cloud.test/":           "wss://",
		"wss:///v1":                     "host",
		"wss://me:" + canary + "@cloud": "user name",
		"wss://cloud\x7f" + canary:      "address",
	} {
		_, err := uplink.New(uplink.Options{Route: uplink.Route{URL: url},
			Identity: uplink.Identity{GatewayID: "g", Credential: uplinktest.Token(nil)}})
		if err == nil || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := uplink.New(uplink.Options{Route: uplink.Route{URL: "wss://cloud"},
		Identity: uplink.Identity{GatewayID: "a.b", Credential: uplinktest.Token(nil)}}); err == nil {
		t.Error("took a gateway id with a dot")
	}
}

func TestOffWithoutAddress(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { o.URL = "" }, func(w *testbed) {
		w.pass(time.Hour)
		if w.up.Status().State != uplink.Off || w.net.Dials() != 0 {
			t.Errorf("%+v", w.up.Status())
		}
	})
}

// A refused token: tries 5 min to 1 h apart, told once, and a new token is
// tried at once.
func TestWrongToken(t *testing.T) {
	var mine atomic.Value
	mine.Store("fg1_plant-7_" + canary + "bad")
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Credential = uplinktest.Token(func() (string, error) { return mine.Load().(string), nil })
	}, func(w *testbed) {
		w.says("uplink_auth", "refuses this gateway's credential", "401", `"plant-7"`)
		if s := w.up.Status().State; s != uplink.Refused {
			t.Errorf("state %s", s)
		}
		before := w.net.Dials()
		w.pass(24 * time.Hour)
		if n := w.net.Dials() - before; n < 23 || n > 24*12 {
			t.Errorf("%d tries in a day", n)
		}
		mine.Store(token)
		w.pass(11 * time.Second)
		if w.up.Status().State != uplink.Online || w.condition("uplink_auth") != "" {
			t.Errorf("%+v", w.up.Status())
		}
		if !strings.Contains(w.log.String(), "failed tries") {
			t.Errorf("recovery is not told:\n%s", w.log)
		}
	})
}

func TestNoCredentialYet(t *testing.T) {
	var enrolled atomic.Bool
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Credential = uplinktest.Token(func() (string, error) {
			if enrolled.Load() {
				return token, nil
			}
			return "", &fs.PathError{Op: "open", Path: "credential", Err: fs.ErrNotExist}
		})
	}, func(w *testbed) {
		w.says("uplink_no_credential", "no credential")
		w.pass(time.Hour)
		if w.net.Dials() != 0 || w.up.Status().State != uplink.NoCredential {
			t.Errorf("%d dials, %+v", w.net.Dials(), w.up.Status())
		}
		enrolled.Store(true)
		w.pass(11 * time.Second)
		w.online()
	})
}

func TestCredentialThatIsNone(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Credential = uplinktest.Token(func() (string, error) { return "two lines\n" + token, nil })
	}, func(w *testbed) {
		w.says("uplink_no_credential", "not a token")
		if w.net.Dials() != 0 {
			t.Error("dialled")
		}
	})
}

func TestWrongCertificate(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		other, err := uplinktest.NewCA()
		if err != nil {
			t.Fatal(err)
		}
		o.Authorities = func() (*x509.CertPool, error) { return other.Pool, nil }
	}, func(w *testbed) {
		w.says("uplink_certificate", "unknown authority", "[uplink] ca")
	})
}

func TestCertificateForAnotherName(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.URL = "wss://other.test/v1/gateway"
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return w.net.Dial(ctx, network, address)
		}
	}, func(w *testbed) {
		w.says("uplink_certificate", "another name", "other.test")
	})
}

// The bubble's clock says 2000; the certificate is of 1999 to 2003.
func TestClockFloor(t *testing.T) {
	boot := func(years int) func(w *testbed, o *uplink.Options) {
		return func(w *testbed, o *uplink.Options) {
			o.Floor = func() time.Time { return time.Now().AddDate(years, 0, 0) }
		}
	}
	t.Run("below the clock", func(t *testing.T) { inTestbed(t, boot(-30), (*testbed).online) })
	t.Run("inside", func(t *testing.T) { inTestbed(t, boot(2), (*testbed).online) })
	t.Run("behind the end", func(t *testing.T) {
		inTestbed(t, boot(20), func(w *testbed) { w.says("uplink_certificate", "ended on 2003-01-01", "2020-01-01", "clock") })
	})
}

// A board that boots before the certificate began connects once the floor,
// what the cloud told last, is later.
func TestBootInThePast(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, floored := range []bool{false, true} {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.certBegin = begin
			if floored {
				o.Floor = func() time.Time { return begin.AddDate(0, 6, 0) }
			}
		}, func(w *testbed) {
			if floored {
				w.online()
				return
			}
			w.says("uplink_clock", "clock says 2000-01-01", "begins on 2026-01-01")
		})
	}
}
