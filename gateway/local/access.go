package local

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	triesAtOnce = 10               // wrong tokens an address may send before it has to wait
	triesEvery  = 10 * time.Second // then it gets another try
	triesKept   = 1024             // addresses remembered
)

// access decides who may see data.
type access struct {
	open  bool
	token func() (string, error) // nil: there is none
	log   *slog.Logger

	mu      sync.Mutex
	wrong   map[netip.Prefix]*rate.Limiter // addresses that sent wrong tokens lately
	failing bool                           // the token cannot be read, and the log knows
}

// need lets next answer only those who may view.
func (a *access) need(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status, f := a.check(r)
		if f == nil {
			next(w, r)
			return
		}
		switch status {
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", `Bearer realm="fieldgate"`)
		case http.StatusTooManyRequests:
			w.Header().Set("Retry-After", "10")
		}
		refuse(w, status, f)
	}
}

// check gives nil for those who may view, else the refusal. It never says
// more about the token than right or wrong.
func (a *access) check(r *http.Request) (int, *fault) {
	if a.open {
		return 0, nil
	}
	want, fault := a.want()
	if fault != nil {
		return http.StatusServiceUnavailable, fault
	}
	given := givenToken(r)
	switch {
	case want == "":
		return http.StatusUnauthorized, newFault("login_required",
			`Viewing needs a token, and this gateway has none yet. Set [local] token_file to a file that holds one, or view = "open", and restart fieldgate.`)
	case given == "":
		return http.StatusUnauthorized, newFault("token_required",
			`Viewing needs the token of this gateway. Send it as "Authorization: Bearer TOKEN" or as ?token=TOKEN.`)
	}
	return a.compare(want, given, clientAddr(r))
}

// want reads the token that is right. Not being able to is told to the log
// once.
func (a *access) want() (string, *fault) {
	if a.token == nil {
		return "", nil
	}
	token, err := a.token()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && !a.failing {
		a.log.Error("the token for local viewing cannot be read; nobody can log in until it can", "err", err)
	}
	if err == nil && a.failing {
		a.log.Info("the token for local viewing can be read again")
	}
	a.failing = err != nil
	if err != nil {
		return "", newFault("token_unreadable",
			"This gateway cannot read its token file. See its journal: journalctl -u fieldgate.")
	}
	return strings.TrimSpace(token), nil
}

// compare judges a token that came from addr. An address that guessed too
// often is not judged at all for a while; others notice nothing.
func (a *access) compare(want, given string, addr netip.Prefix) (int, *fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	tries := a.wrong[addr]
	if tries != nil && tries.Tokens() < 1 {
		return http.StatusTooManyRequests, newFault("too_many_tries",
			"Too many wrong tokens came from your address. Wait ten seconds and try again.")
	}
	w, g := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(w[:], g[:]) == 1 {
		return 0, nil
	}
	if tries == nil {
		a.makeRoomLocked()
		tries = rate.NewLimiter(rate.Every(triesEvery), triesAtOnce)
		a.wrong[addr] = tries
	}
	tries.Allow()
	return http.StatusUnauthorized, newFault("token_wrong", "This is not the token of this gateway.")
}

// makeRoomLocked forgets addresses that have waited long enough, and any one
// of them if that is not enough.
func (a *access) makeRoomLocked() {
	if len(a.wrong) < triesKept {
		return
	}
	for addr, tries := range a.wrong {
		if tries.Tokens() >= triesAtOnce {
			delete(a.wrong, addr)
		}
	}
	for addr := range a.wrong {
		if len(a.wrong) < triesKept {
			return
		}
		delete(a.wrong, addr)
	}
}

// givenToken finds the token in a request: in its Authorization header, or in
// the query for clients that can set no header (browsers, on WebSockets).
func givenToken(r *http.Request) string {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
		return ""
	}
	return r.URL.Query().Get("token")
}
