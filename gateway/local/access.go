package local

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

const (
	triesAtOnce = 10               // wrong tokens an address may send before it has to wait
	triesEvery  = 10 * time.Second // then it gets another try
	triesKept   = 1024             // addresses remembered
	wrongFor    = 10 * time.Minute // after a wrong token it is told for so long
)

// The conditions of those who want to look.
const (
	conditionToken = "local_token"  // nobody can sign in
	conditionWrong = "local_tokens" // wrong tokens come
)

// access decides who may see data.
type access struct {
	open       bool
	token      func() (string, error) // nil: there is none
	conditions *health.Table

	mu    sync.Mutex
	wrong map[netip.Prefix]*rate.Limiter // addresses that sent wrong tokens lately
	total uint64                         // wrong tokens since the start
	spell wrongSpell
}

// A wrongSpell is a time in which wrong tokens come; zero: none do.
type wrongSpell struct {
	n    uint64
	from string // address of the last
	last time.Time
}

func newAccess(o Options, conditions *health.Table) *access {
	return &access{open: o.View == "open", token: o.Token, conditions: conditions, wrong: map[netip.Prefix]*rate.Limiter{}}
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
	given := givenToken(r)
	if a.open {
		if given != "" && a.known(given) {
			signIn(r)
		}
		return 0, nil
	}
	want, fault := a.want()
	switch {
	case fault != nil:
		return http.StatusServiceUnavailable, fault
	case want == "":
		return http.StatusUnauthorized, newFault("login_required",
			`Viewing needs a token, and this gateway has none yet. Set [local] token_file to a file that holds one, or view = "open", and restart fieldgate.`)
	case given == "":
		return http.StatusUnauthorized, newFault("token_required",
			`Viewing needs the token of this gateway. Send it as "Authorization: Bearer TOKEN" or as ?token=TOKEN.`)
	case same(want, given):
		signIn(r)
		return 0, nil
	}
	return a.refuse(clientAddr(r))
}

// known reports whether a token is right where none is needed.
func (a *access) known(given string) bool {
	want, fault := a.want()
	return fault == nil && want != "" && same(want, given)
}

func same(want, given string) bool {
	w, g := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(w[:], g[:]) == 1
}

// want reads the token that is right. What is wrong with it is told once.
func (a *access) want() (string, *fault) {
	if a.token == nil {
		return "", nil
	}
	text, err := a.token()
	if err != nil {
		a.conditions.Raise(conditionToken, "", health.Warning,
			fmt.Sprintf("Nobody can sign in to the page on site, because its token cannot be read: %v.", err))
		return "", newFault("token_unreadable",
			"This gateway cannot read its token file, so nobody can sign in. See its journal: journalctl -u fieldgate.")
	}
	token := strings.TrimSpace(text)
	err = gateway.CheckToken(token)
	switch {
	case err == nil:
		a.conditions.Clear(conditionToken, "", "The token of the page on site can be used again.")
		return token, nil
	case token == "":
		a.conditions.Raise(conditionToken, "", health.Warning,
			"Nobody can sign in to the page on site, because the file of [local] token_file is empty. "+
				"Write a token into it, for example that of: openssl rand -hex 16.")
		return "", nil
	}
	a.conditions.Raise(conditionToken, "", health.Warning,
		fmt.Sprintf("Nobody can sign in to the page on site, because the token in the file of [local] token_file %v.", err))
	return "", newFault("token_unusable",
		fmt.Sprintf("Nobody can sign in, because the token of this gateway %v. Put another one into the file of [local] token_file.", err))
}

// refuse answers a wrong token and remembers that it came. A right one always
// passes: others may share the address.
func (a *access) refuse(addr netip.Prefix) (int, *fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total++
	a.spell.n++
	a.spell.from, a.spell.last = addressOf(addr), time.Now()
	if a.spell.n == 1 {
		a.conditions.Raise(conditionWrong, "", health.Warning, a.spell.sentence())
	}
	tries := a.wrong[addr]
	if tries == nil {
		a.makeRoomLocked()
		tries = rate.NewLimiter(rate.Every(triesEvery), triesAtOnce)
		a.wrong[addr] = tries
	}
	if !tries.Allow() {
		return http.StatusTooManyRequests, newFault("too_many_tries",
			"This is not the token of this gateway. Many wrong ones came from your address: wait ten seconds before the next try.")
	}
	return http.StatusUnauthorized, newFault("token_wrong", "This is not the token of this gateway.")
}

func (s wrongSpell) sentence() string {
	const advice = "If nobody mistyped it, see what runs there: a program with an old token, or somebody who guesses."
	if s.n == 1 {
		return fmt.Sprintf("A wrong token for the page on site came from %s. %s", s.from, advice)
	}
	return fmt.Sprintf("%d wrong tokens for the page on site came, the last from %s. %s", s.n, s.from, advice)
}

// look tells what became of the token and of wrong ones since the last look.
func (a *access) look() {
	if !a.open {
		_, _ = a.want() // raises or clears its condition
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.spell.n == 0:
	case time.Since(a.spell.last) > wrongFor:
		a.conditions.Clear(conditionWrong, "", fmt.Sprintf("No wrong token came for ten minutes; before, %d did, the last from %s.",
			a.spell.n, a.spell.from))
		a.spell = wrongSpell{}
	default:
		a.conditions.Raise(conditionWrong, "", health.Warning, a.spell.sentence())
	}
}

func (a *access) wrongTotal() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total
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
	// No token has a space: it was a plus that nobody escaped.
	return strings.ReplaceAll(r.URL.Query().Get("token"), " ", "+")
}
