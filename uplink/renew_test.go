package uplink_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink"
)

// keys is a Credential whose token is due after a day.
type keys struct {
	mu       sync.Mutex
	now      string
	next     string
	accepted time.Time // when the present one was
	asked    int
}

func (k *keys) Show() (string, *tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next != "" {
		return k.next, nil, nil
	}
	return k.now, nil, nil
}

func (k *keys) Accepted(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next != "" {
		k.now, k.next, k.accepted = k.next, "", time.Time{}
	}
	if k.accepted.IsZero() {
		k.accepted = now
	}
}

func (k *keys) Refused() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	other := k.next != ""
	k.next = ""
	return other
}

func (k *keys) Renew(now time.Time, _ bool) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next != "" || k.accepted.IsZero() || now.Sub(k.accepted) < 24*time.Hour {
		return nil, nil
	}
	k.asked++
	return []byte(`{"hello":1}`), nil
}

func (k *keys) Renewed(answer []byte, _ time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next = string(answer)
	return nil
}

func (k *keys) state() (asked int, now string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked, k.now
}

const token2 = "fg1_plant-7_c0ffee5ec2e7c0ffee5ec2e8"

// A day old, the credential is exchanged on the way that sessions take; the
// session ends for one with the next; a refused next one costs a moment.
func TestCredentialIsExchangedInTime(t *testing.T) {
	for _, refused := range []bool{false, true} {
		k := &keys{now: token}
		fails := 1 // the first request
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			o.Credential = k
			w.cloud.OnUpgrade = func(a http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost {
					body, _ := io.ReadAll(r.Body)
					if r.URL.Path != "/v1/credentials/rotate" || string(body) != `{"hello":1}` || r.Header.Get("Authorization") != "Bearer "+token {
						t.Errorf("%s %q %v", r.URL, body, r.Header)
					}
					if fails--; fails >= 0 {
						a.WriteHeader(http.StatusServiceUnavailable)
						return true
					}
					_, _ = io.WriteString(a, token2)
					if !refused {
						w.cloud.Token = token2
					}
					return true
				}
				return false
			}
		}, func(w *testbed) {
			w.online()
			w.pass(24 * time.Hour)
			w.until(4*time.Hour, "exchanged", func() bool { n, _ := k.state(); return n == 2 })
			w.pass(time.Second)
			w.until(time.Minute, "online", func() bool { return w.up.Status().State == uplink.Online })
			want, sessions := token2, 2
			if refused {
				want = token
			}
			if _, now := k.state(); now != want || len(w.cloud.Hellos()) != sessions {
				t.Errorf("refused %v: %d sessions, shows %q", refused, len(w.cloud.Hellos()), now)
			}
			if n := strings.Count(w.log.String(), "could not be exchanged"); n != 1 {
				t.Errorf("a failure is told %d times", n)
			}
			w.store.Append(5)
			w.complete(time.Minute)
		})
	}
}

// two is a Credential that holds two tokens and shows them in turn.
type two struct {
	*keys
	second bool
}

func (k *two) Show() (string, *tls.Certificate, error) {
	if k.second {
		return token2, nil, nil
	}
	return token, nil, nil
}

func (k *two) Refused() bool {
	k.second = !k.second
	return k.second
}

// A cloud that refuses both of two credentials is not asked again and again.
func TestBothCredentialsRefused(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Credential = &two{keys: &keys{}}
		w.cloud.Token = "another"
	}, func(w *testbed) {
		w.until(time.Minute, "refused", func() bool { return w.up.Status().State == uplink.Refused })
		before := w.net.Dials()
		if before != 2 {
			t.Errorf("%d tries until it waits", before)
		}
		w.pass(4 * time.Minute)
		if n := w.net.Dials() - before; n != 0 {
			t.Errorf("%d tries in four minutes", n)
		}
		w.pass(4 * time.Hour)
		if n := w.net.Dials() - before; n < 4 || n > 100 {
			t.Errorf("%d tries in four hours", n)
		}
	})
}
