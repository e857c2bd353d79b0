package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	renewPath   = "/v1/credentials/rotate"
	renewLook   = time.Hour        // how often it is looked whether it is time
	renewWithin = 30 * time.Second // for the answer
	renewMost   = 64 << 10         // bytes of it
	deniedKept  = 4                // credentials that were refused lately; a gateway holds two
)

// errRenewed ends a session in favour of one with the next credential.
var errRenewed = errors.New("there is a new credential")

// keepRenewed exchanges the credential in time, and ends the session then: the
// exchange is complete when the next one was used. It returns when it has, or
// when ctx is done.
func (u *Uplink) keepRenewed(ctx context.Context, end context.CancelCauseFunc) {
	for {
		// Not at once, so that a fleet that comes back together does not ask
		// together.
		timer := time.NewTimer(time.Minute + jitter(renewLook))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		switch done, err := u.renew(ctx, u.endpoint, false); {
		case done:
			end(errRenewed)
			return
		case err != nil && ctx.Err() == nil:
			u.o.Log.Warn("the credential could not be exchanged for the next one; it stays valid, and is tried again", "error", u.plain(err.Error()))
		}
	}
}

// renew asks the cloud for the next credential if it is time for one, and
// reports whether it is there.
func (u *Uplink) renew(ctx context.Context, at *endpoint, refused bool) (bool, error) {
	now, known := u.wall()
	switch {
	case !known && !refused:
		return false, nil
	case !refused:
		u.o.Credential.Accepted(now)
	}
	body, err := u.o.Credential.Renew(now, refused)
	if body == nil || err != nil {
		return false, err
	}
	answer, err := u.post(ctx, at, body)
	if err != nil {
		return false, err
	}
	if err := u.o.Credential.Renewed(answer, now); err != nil {
		return false, err
	}
	u.o.Log.Info("the credential was exchanged for the next one")
	return true, nil
}

// post sends a request to the cloud, on the way that sessions take.
func (u *Uplink) post(ctx context.Context, at *endpoint, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	authorities, err := u.authorities()
	if err != nil {
		return nil, err
	}
	way := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: renewMost,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			under, err := u.reach(ctx, at)
			if err != nil {
				return nil, err
			}
			secure, err := u.secure(ctx, at, under, authorities)
			if err != nil {
				under.raw.Close()
				return nil, err
			}
			return secure, nil
		}}
	to, err := url.Parse(at.url)
	if err != nil {
		return nil, errors.New("the address cannot be used")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost,
		(&url.URL{Scheme: "https", Host: to.Host, Path: renewPath}).String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask for a credential: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	if shown := u.presented.Load(); shown != nil && shown.token != "" {
		r.Header.Set("Authorization", "Bearer "+shown.token)
	}
	resp, err := way.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("ask for a credential: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, renewMost))
	if err != nil {
		return nil, fmt.Errorf("ask for a credential: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for a credential: %w", &httpError{resp.StatusCode, 0})
	}
	return answer, nil
}

// afterRefusal looks for a way out when the cloud has refused what was shown:
// another credential, or an exchange of a certificate that has ended. It
// reports whether to try again soon.
func (u *Uplink) afterRefusal(ctx context.Context) bool {
	if shown := u.presented.Load(); shown != nil {
		u.denied = append(u.denied[max(0, len(u.denied)-deniedKept+1):], *shown)
	}
	if !u.o.Credential.Refused() {
		return false
	}
	if shown := u.presented.Load(); shown != nil && shown.cert != nil {
		if _, err := u.renew(ctx, u.endpoint, true); err != nil {
			u.o.Log.Warn("the certificate was refused, and could not be exchanged for another", "error", u.plain(err.Error()))
		}
	}
	return true
}
