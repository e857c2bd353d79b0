package cloud

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A page of an operator comes from another origin than this server, which
// serves none. A browser asks for leave before it lets the page read the API
// (CORS), and tells the server the page's origin. Nothing here rests on
// cookies: a page needs the operator's token or a ticket in any case.

// preflightFor is how many seconds a browser may keep the answer.
const preflightFor = "600"

// CheckOrigin says what is wrong with the origin of a page, and gives it as
// browsers write it: "https://ops.example.com", with a port if it is not the
// scheme's own.
func CheckOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", strings.ContainsAny(u.Host, "*,"), !validPort(u.Port()):
		return "", fmt.Errorf("%.80q is no origin: want https://HOST or https://HOST:PORT, the whole name, without *", text)
	case u.User != nil, u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "", u.ForceQuery, strings.HasSuffix(text, "#"):
		return "", fmt.Errorf("%.80q is more than an origin: want https://HOST or https://HOST:PORT, and nothing behind it", text)
	}
	host := strings.ToLower(u.Hostname())
	for _, c := range []byte(host) {
		if c <= ' ' || c >= 0x7f {
			return "", fmt.Errorf("%.80q: write the name of the host as browsers do, in ASCII (xn--…)", text)
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.WithZone("").String() // browsers send no zone
		if ip.Is6() {
			host = "[" + host + "]"
		}
	}
	if port := u.Port(); port != "" && (u.Scheme != "https" || port != "443") && (u.Scheme != "http" || port != "80") {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}

func validPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && n > 0
}

// originAllowed holds for requests that do not come from a page, for those of
// this server's own, and for those of the origins that are allowed. A request
// with several Origins comes from none.
func (s *Server) originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	own := err == nil && (u.Scheme == "https" || u.Scheme == "http") && strings.EqualFold(u.Host, r.Host)
	return len(origins) == 1 && (own || slices.Contains(s.opt.Origins, origins[0]))
}

// forPages reports whether a page of another origin may use a route: to read
// what there is of gateways, and to get a ticket for /v1/live.
func forPages(pattern string) bool {
	return pattern == "POST /v1/ws-ticket" || pattern == "GET /v1/gateways" || strings.HasPrefix(pattern, "GET /v1/gateways/")
}

// crossOrigin says to browsers whether a page may read the answer, and answers
// their question before a request. It reports whether it has answered.
func (s *Server) crossOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Values("Origin")
	if len(origin) != 1 {
		return false
	}
	method := r.Method
	asks := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	if asks {
		method = r.Header.Get("Access-Control-Request-Method")
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	allowed := slices.Contains(s.opt.Origins, origin[0])
	if allowed && forPages(s.routeOf(r, method)) {
		h.Set("Access-Control-Allow-Origin", origin[0])
		h.Set("Access-Control-Expose-Headers", "Retry-After")
		if asks {
			h.Set("Access-Control-Allow-Methods", method)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", preflightFor)
			w.WriteHeader(http.StatusNoContent)
		}
		return asks
	}
	if asks && !allowed {
		deny(w, http.StatusForbidden, "origin_not_allowed", "pages of this origin may not ask here; the server allows an origin with --origin")
		return true
	}
	return false
}
