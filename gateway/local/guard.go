package local

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// csp lets the page load and reach nothing but this server.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// A guard stands before every route. It refuses requests that a foreign page
// makes a browser send: by a name that was rebound to this address (Host), or
// across sites (Origin).
type guard struct {
	hosts map[string]bool // names of this gateway, in lower case
	next  http.Handler
}

// newGuard allows IP literals, localhost, the board's own names and extra.
func newGuard(extra []string, next http.Handler) *guard {
	g := &guard{hosts: map[string]bool{"localhost": true}, next: next}
	if name, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(name, ".")
		extra = append([]string{name, short, short + ".local"}, extra...)
	}
	for _, name := range extra {
		g.hosts[canonicalName(name)] = true
	}
	return g
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	switch {
	case !g.hostAllowed(r.Host):
		refuse(w, http.StatusForbidden, newFault("host_not_allowed",
			"This gateway is not called by the name in the request. Use its IP address, or add the name to [local] hosts."))
	case !originAllowed(r):
		refuse(w, http.StatusForbidden, newFault("origin_not_allowed",
			"Pages of other sites may not talk to this gateway."))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, newFault("method_not_allowed", "Only GET is served here."))
	default:
		g.next.ServeHTTP(w, r)
	}
}

// hostAllowed takes a Host header: a name or an address, with or without port.
func (g *guard) hostAllowed(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return g.hosts[canonicalName(name)]
}

// canonicalName gives one form to all that name the same host. The zone of an
// IPv6 address means something to its own host alone, so it does not count.
func canonicalName(name string) string {
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// originAllowed holds for requests that do not come from a page, and for those
// from this gateway's own. A request with several Origins comes from neither.
func originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	origin, err := url.Parse(origins[0])
	if err != nil || len(origins) > 1 || defaultPorts[origin.Scheme] == "" || origin.User != nil {
		return false
	}
	host := &url.URL{Host: r.Host}
	if canonicalName(origin.Hostname()) != canonicalName(host.Hostname()) {
		return false
	}
	if host.Port() == "" { // the default one, or a proxy has left it out
		return true
	}
	return host.Port() == cmp.Or(origin.Port(), defaultPorts[origin.Scheme])
}

// defaultPorts are what browsers leave out of Host and Origin.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// refuse answers with an error that a program can tell by its code and a
// person can read.
func refuse(w http.ResponseWriter, status int, f *fault) {
	writeJSON(w, status, f)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(encode(v), '\n')) // a client that has gone needs no answer
}

// clientAddr is the address a request comes from; for IPv6 its /64, which is
// what one subscriber has. A proxy on this board may say for whom it asks.
func clientAddr(r *http.Request) netip.Prefix {
	peer := prefixOf(r.RemoteAddr)
	if !peer.IsValid() || !peer.Addr().IsLoopback() {
		return peer
	}
	said := r.Header.Values("X-Forwarded-For")
	if len(said) == 0 {
		return peer
	}
	list := strings.Split(said[len(said)-1], ",")
	if last := prefixOf(strings.TrimSpace(list[len(list)-1])); last.IsValid() { // the proxy's own word; before it stands hearsay
		return last
	}
	return peer
}

// prefixOf reads an address with or without a port; what is none gives the
// zero prefix.
func prefixOf(text string) netip.Prefix {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() && !addr.IsLoopback() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // bits fit the address
	return p
}

// addressOf says an address to people.
func addressOf(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "an unknown address"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}
