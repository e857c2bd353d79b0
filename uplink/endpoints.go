package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"
)

// homeEvery is how often a gateway that is connected to another address than
// the first looks whether the first answers again; up to half of it is added,
// so that a fleet does not come back as one.
const homeEvery = 30 * time.Minute

// errMoved ends a session in favour of a better one: the first address answers
// again.
var errMoved = errors.New("the first address answers again")

// An endpoint is one address of the cloud. It is owned by Run.
type endpoint struct {
	url   string // what is dialled
	host  string // host:port, for people and for Dial
	shown string // the URL without its query

	overTLS bool // false only for ws://, which only a plain server may have

	until   time.Time // it asked not to be tried before
	refused bool      // … because of the credential

	failures  int       // in a row
	lastError string    // in words; stays after recovery
	online    time.Time // when it last welcomed us
}

// An EndpointStatus is one of several addresses of the cloud.
type EndpointStatus struct {
	URL       string    `json:"url"`
	Present   bool      `json:"present"` // connected to it, or tried next
	Failures  int       `json:"failures"`
	LastError string    `json:"last_error,omitempty"`
	Online    time.Time `json:"last_online,omitzero"`
	Until     time.Time `json:"not_before,omitzero"` // it asked to be left alone until then
}

// newEndpoint checks an address. No error repeats it: it may hold a secret.
func newEndpoint(address string, plain bool) (*endpoint, error) {
	at, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("[uplink] url is not an address") // err repeats the address
	case at.Scheme != "wss" && !(at.Scheme == "ws" && plain):
		return nil, fmt.Errorf("[uplink] url begins with %q; only wss:// is accepted", at.Scheme+"://")
	case at.Hostname() == "":
		return nil, errors.New("[uplink] url names no host")
	case at.User != nil:
		return nil, errors.New("[uplink] url holds a user name; the credential belongs in the token file")
	}
	port := at.Port()
	if port == "" {
		port = "443"
		if at.Scheme == "ws" {
			port = "80"
		}
	}
	return &endpoint{
		overTLS: at.Scheme == "wss",
		url:     address,
		host:    net.JoinHostPort(at.Hostname(), port),
		shown:   (&url.URL{Scheme: at.Scheme, Host: at.Host, Path: at.Path}).String(),
	}, nil
}

// newEndpoints checks all addresses, in their order.
func newEndpoints(first string, more []string, plain bool) ([]*endpoint, error) {
	var all []*endpoint
	for _, address := range append([]string{first}, more...) {
		e, err := newEndpoint(address, plain)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(o *endpoint) bool { return o.url == e.url }) {
			all = append(all, e)
		}
	}
	return all, nil
}

// turn chooses the address of the next try: after a session that held the
// first one, else the one behind the present. One that asked to be left
// alone is passed over while another may be tried.
func (u *Uplink) turn(held bool) {
	from := slices.Index(u.points, u.endpoint) + 1 // an address of drain is none of them: the first follows it
	if held {
		from = 0
	}
	now := time.Now()
	best := u.points[from%len(u.points)]
	for i := range u.points {
		e := u.points[(from+i)%len(u.points)]
		if !e.until.After(now) {
			best = e
			break
		}
		if e.until.Before(best.until) {
			best = e
		}
	}
	u.endpoint = best
}

// redirect makes the address that a draining cloud names that of the next try.
// After that one the configured order holds again.
func (u *Uplink) redirect(d *drainedError) {
	if d.url == "" {
		return
	}
	e, err := newEndpoint(d.url, false)
	if err != nil {
		u.o.Log.Warn("the cloud named an address to go to that cannot be used", "error", err)
		return
	}
	u.o.Log.Info("the cloud sends this gateway to another address", "endpoint", e.shown, "reason", u.plain(d.reason))
	u.endpoint = e
}

// showEndpoints puts the addresses into the status, if there are several.
func (u *Uplink) showEndpoints() {
	var all []EndpointStatus
	for _, e := range u.points {
		s := EndpointStatus{URL: e.shown, Present: e == u.endpoint, Failures: e.failures, LastError: e.lastError, Online: e.online}
		if e.until.After(time.Now()) {
			s.Until = e.until
		}
		all = append(all, s)
	}
	if len(all) < 2 {
		all = nil
	}
	u.set(func(s *Status) { s.Endpoint, s.Endpoints = u.shown, all })
}

// goHome ends the session when the first address answers again, TLS and all.
// It returns when it has, or when ctx is done.
func (u *Uplink) goHome(ctx context.Context, end context.CancelCauseFunc) {
	first := u.points[0]
	for {
		timer := time.NewTimer(homeEvery + jitter(homeEvery/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if u.answers(ctx, first) {
			end(errMoved)
			return
		}
	}
}

// answers reports whether the cloud is at an address: whether somebody there
// shows its certificate.
func (u *Uplink) answers(ctx context.Context, e *endpoint) bool {
	authorities, err := u.authorities()
	if err != nil {
		return false
	}
	under, err := u.reach(ctx, e)
	if err != nil {
		return false
	}
	defer under.raw.Close()
	_, err = u.secure(ctx, e, under, authorities)
	return err == nil
}
