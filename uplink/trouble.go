package uplink

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/uplink/proxy"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The conditions that the uplink can raise.
const (
	codeNoCredential = "uplink_no_credential"
	codeUnreachable  = "uplink_unreachable" // no connection, or it broke
	codeCertificate  = "uplink_certificate"
	codeClock        = "uplink_clock"
	codeAuth         = "uplink_auth"
	codeSilent       = "uplink_silent"  // accepts, and says nothing
	codeForeign      = "uplink_foreign" // not fieldgate.v1, or it breaks the protocol
	codeClosed       = "uplink_closed"  // the cloud ended the session and said why
	codeAlarm        = "uplink_alarm"   // … and people must act
	codeProxy        = "uplink_proxy"
	codeBudget       = "uplink_budget" // of bytes, used up
	codeHeld         = "uplink_held"   // readings of one epoch that cannot be sent; the subject is the epoch
)

var (
	errNoCredential = errors.New("no credential")
	errNoAnswer     = fmt.Errorf("no answer to an update for %v", ackTimeout)
	errStopped      = errors.New("the session was ended here")
)

// A credentialError is a credential that is there and cannot be used.
type credentialError struct{ err error }

func (e *credentialError) Error() string { return "read credential: " + e.err.Error() }
func (e *credentialError) Unwrap() error { return e.err }

// An authorityError is a file of authorities that cannot be used.
type authorityError struct{ err error }

func (e *authorityError) Error() string { return "read the authorities: " + e.err.Error() }
func (e *authorityError) Unwrap() error { return e.err }

// A stageError is a failure on the way to a session.
type stageError struct {
	stage string // "dial", "TLS", "upgrade", "welcome"
	limit time.Duration
	err   error
}

func (e *stageError) Error() string { return e.stage + ": " + e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

// A httpError is an HTTP answer that refuses the upgrade.
type httpError struct {
	status int
	after  time.Duration // Retry-After
}

func (e *httpError) Error() string {
	return fmt.Sprintf("HTTP %d %s", e.status, http.StatusText(e.status))
}

// A writeError is a line that takes nothing more.
type writeError struct{ err error }

func (e *writeError) Error() string { return "write: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// A foreignError is a server that does not speak fieldgate.v1.
type foreignError struct{ what string }

func (e *foreignError) Error() string { return e.what }

// A protocolError is a cloud that says what cannot be.
type protocolError struct{ what string }

func (e *protocolError) Error() string { return e.what }

// A drainedError is a session that ended because the cloud asked for it.
type drainedError struct {
	after, spread time.Duration
	reason, url   string
}

func (e *drainedError) Error() string { return "drained: " + e.reason }

// A trouble is what an error means: what to tell, and how to go on.
type trouble struct {
	code     string
	severity health.Severity
	sentence string
	wait     wire.Wait
	after    time.Duration // minimum asked for by the cloud
	halve    bool          // messages were too big
	here     bool          // only this address of the cloud wants to be left alone
}

// classify is the one place that decides what an error of a try means. It
// goes by type, never by text.
func (u *Uplink) classify(err error) trouble {
	t := trouble{code: codeUnreachable, severity: health.Warning}
	var (
		credential *credentialError
		authority  *authorityError
		stage      *stageError
		through    *proxy.Error
		answer     *httpError
		foreign    *foreignError
		protocol   *protocolError
		closed     *websocket.CloseError
		drained    *drainedError
	)
	switch {
	case errors.As(err, &drained):
		u.drained(&t, drained)
	case errors.Is(err, errNoCredential):
		t.code, t.wait = codeNoCredential, waitCredential
		t.sentence = "there is no credential for the cloud yet: enrol this gateway or set [uplink] token_file; readings are kept meanwhile"
	case errors.As(err, &credential):
		t.code, t.wait = codeNoCredential, waitCredential
		t.sentence = "the credential for the cloud cannot be used: " + u.plain(credential.err.Error())
	case errors.As(err, &authority):
		t.code, t.severity = codeCertificate, health.Error
		t.sentence = "the certificate of the cloud's authority cannot be used, so nothing is sent: " +
			authority.err.Error() + "; put it where [uplink] ca says"
	case errors.As(err, &through):
		u.failedThrough(&t, through)
	case errors.As(err, &answer):
		u.refused(&t, answer)
	case errors.As(err, &closed):
		u.closed(&t, closed)
	case errors.As(err, &foreign):
		t.code, t.severity = codeForeign, health.Error
		t.sentence = fmt.Sprintf("the server at %s does not speak fieldgate.v1: %s; check [uplink] url", u.host, foreign.what)
	case errors.As(err, &protocol):
		t.code, t.severity = codeForeign, health.Error
		t.sentence = fmt.Sprintf("the cloud at %s breaks the protocol: %s", u.host, u.plain(protocol.what))
	case errors.As(err, &stage):
		u.failedAt(&t, stage)
	case isTimeout(err), errors.Is(err, errNoAnswer):
		t.sentence = fmt.Sprintf("the connection to %s went dead (%s)", u.host, u.plain(err.Error()))
	default:
		t.sentence = fmt.Sprintf("the connection to %s was lost: %s", u.host, u.plain(err.Error()))
	}
	t.sentence = u.redact(t.sentence)
	return t
}

// drained is told when the cloud asked to come back later.
func (u *Uplink) drained(t *trouble, d *drainedError) {
	t.code = codeClosed // how long to wait, afterDrain says
	t.sentence = fmt.Sprintf("the cloud at %s asked this gateway to connect again later", u.host)
	if d.reason != "" {
		t.sentence += ": " + u.plain(d.reason)
	}
}

// refused reads an HTTP answer in the place of an upgrade.
func (u *Uplink) refused(t *trouble, answer *httpError) {
	t.after, t.here = answer.after, true
	switch answer.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		t.code, t.severity, t.wait = codeAuth, health.Error, waitAuth
		t.sentence = fmt.Sprintf("the cloud at %s refuses this gateway's credential (%v): "+
			"check that the token belongs to gateway id %q and is not revoked", u.host, answer, u.o.GatewayID)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		t.sentence = fmt.Sprintf("the cloud at %s takes no connection at present (%v)", u.host, answer)
	default:
		t.code, t.severity = codeForeign, health.Error
		t.sentence = fmt.Sprintf("the server at %s does not speak fieldgate.v1: it answers the WebSocket upgrade with %v; check [uplink] url",
			u.host, answer)
	}
}

// closed reads a close frame.
func (u *Uplink) closed(t *trouble, c *websocket.CloseError) {
	reaction := wire.ReactionTo(c.Code)
	t.wait, t.halve, t.after = reaction.Wait, reaction.Halve, wire.RetryHint(c.Text)
	switch {
	case reaction.Alarm:
		t.code, t.severity = codeAlarm, health.Error
	case reaction.Wait == waitAuth:
		t.code, t.severity = codeAuth, health.Error
	case c.Code == websocket.CloseAbnormalClosure:
		t.code = codeUnreachable
	default:
		t.code = codeClosed
	}
	t.sentence = fmt.Sprintf("%s (%s, close code %d)", reaction.Say, u.host, c.Code)
	if c.Text != "" {
		t.sentence += ": " + u.plain(c.Text)
	}
}

// failedAt finds words for a failure between dialling and welcome.
func (u *Uplink) failedAt(t *trouble, e *stageError) {
	var (
		dns     *net.DNSError
		header  tls.RecordHeaderError
		alien   x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
	)
	switch {
	case errors.As(e, &dns):
		t.sentence = fmt.Sprintf("the name %q does not resolve: check the network's DNS and [uplink] url", dns.Name)
	case errors.Is(e, syscall.ECONNREFUSED):
		t.sentence = fmt.Sprintf("%s refuses the connection: is the cloud running, and is the port in [uplink] url right?", u.host)
	case isTimeout(e) && e.stage == "dial":
		t.sentence = fmt.Sprintf("%s does not answer (waited %v): check the network and any firewall between", u.host, e.limit)
	case isTimeout(e):
		t.code = codeSilent
		t.sentence = fmt.Sprintf("%s accepts the connection and then says nothing (waited %v for the %s)", u.host, e.limit, e.stage)
	case errors.As(e, &header):
		t.code, t.severity = codeForeign, health.Error
		t.sentence = fmt.Sprintf("the server at %s does not speak TLS: check the port in [uplink] url", u.host)
	case errors.As(e, &alien):
		t.code, t.severity = codeCertificate, health.Error
		t.sentence = fmt.Sprintf("the cloud's certificate is signed by an unknown authority (%s): set [uplink] ca to the authority's certificate",
			u.host)
	case errors.As(e, &name):
		t.code, t.severity = codeCertificate, health.Error
		t.sentence = fmt.Sprintf("the cloud's certificate is for another name than %q: check [uplink] url", name.Host)
	case errors.As(e, &invalid) && invalid.Reason == x509.Expired:
		u.wrongTime(t, invalid.Cert)
	case errors.As(e, &verify):
		t.code, t.severity = codeCertificate, health.Error
		t.sentence = fmt.Sprintf("the cloud's certificate is not acceptable (%s): %s", u.host, u.plain(verify.Err.Error()))
	case e.stage == "upgrade" && !isNetwork(e):
		t.code, t.severity = codeForeign, health.Error
		t.sentence = fmt.Sprintf("the server at %s does not speak fieldgate.v1: no HTTP answer to the WebSocket upgrade (%s); check [uplink] url",
			u.host, u.plain(e.err.Error()))
	default:
		t.sentence = fmt.Sprintf("cannot connect to %s: %s", u.host, u.plain(e.Error()))
	}
}

// failedThrough finds words for a failure at, or of, a proxy.
func (u *Uplink) failedThrough(t *trouble, e *proxy.Error) {
	t.code, t.severity = codeProxy, health.Error
	var alien x509.UnknownAuthorityError
	switch {
	case e.Host == "":
		t.sentence = "the address of the proxy cannot be read, so nothing is sent: " + u.plain(e.Err.Error()) +
			"; see [uplink] proxy or proxy_file"
	case e.Login && e.Given:
		t.sentence = fmt.Sprintf("the proxy at %s refuses the user name or the password of [uplink] proxy", e.Host)
	case e.Login:
		t.sentence = fmt.Sprintf("the proxy at %s wants a user name and a password: set them in [uplink] proxy or proxy_file", e.Host)
	case e.Status == http.StatusForbidden, e.Status == http.StatusMethodNotAllowed, e.Socks == 2:
		t.sentence = fmt.Sprintf("the proxy at %s does not let this gateway connect to %s (%v): its rules must allow that", e.Host, u.host, e)
	case e.Status != 0, e.Socks != 0:
		t.severity = health.Warning
		t.sentence = fmt.Sprintf("the proxy at %s cannot connect to %s: %v", e.Host, u.host, e)
	case errors.Is(e, proxy.ErrNoProxy):
		t.sentence = fmt.Sprintf("what is at %s is not a proxy of the kind that [uplink] proxy says", e.Host)
	case errors.As(e, &alien):
		t.sentence = fmt.Sprintf("the certificate of the proxy at %s is signed by an unknown authority: "+
			"set [uplink] proxy_ca to the authority's certificate", e.Host)
	case isTimeout(e.Err):
		t.severity = health.Warning
		t.sentence = fmt.Sprintf("the proxy at %s does not answer in time: check the network and [uplink] proxy", e.Host)
	case errors.Is(e, syscall.ECONNREFUSED):
		t.severity = health.Warning
		t.sentence = fmt.Sprintf("the proxy at %s refuses the connection: is it running, and is the port in [uplink] proxy right?", e.Host)
	default:
		t.severity = health.Warning
		t.sentence = fmt.Sprintf("the proxy at %s cannot be used: %s", e.Host, u.plain(e.Err.Error()))
	}
}

// wrongTime is told when a certificate's time does not fit ours: either may
// be wrong.
func (u *Uplink) wrongTime(t *trouble, cert *x509.Certificate) {
	const form = "2006-01-02 15:04"
	now := u.now().UTC()
	t.severity = health.Error
	if now.Before(cert.NotBefore) {
		t.code = codeClock
		t.sentence = fmt.Sprintf("this board's clock says %s UTC, but the cloud's certificate begins on %s: "+
			"set the clock or let it reach a time server; sampling goes on", now.Format(form), cert.NotBefore.UTC().Format(form))
		return
	}
	t.code = codeCertificate
	t.sentence = fmt.Sprintf("the cloud's certificate ended on %s UTC, and this board's clock says %s: "+
		"renew the certificate, or set the clock if it is wrong", cert.NotAfter.UTC().Format(form), now.Format(form))
}

// isNetwork reports whether an error is of the connection, not of what came
// over it.
func isNetwork(err error) bool {
	var network net.Error
	var system syscall.Errno
	return errors.As(err, &network) || errors.As(err, &system) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// tell makes a failure known: in the status, and as a condition, which is
// logged when it begins.
func (u *Uplink) tell(t trouble) {
	state := Waiting
	switch t.wait {
	case waitAuth:
		state = Refused
	case waitCredential:
		state = NoCredential
	}
	if state != NoCredential {
		u.failures++
	}
	u.endpoint.failures++
	u.endpoint.lastError = t.sentence
	u.set(func(s *Status) { s.State, s.LastError, s.Tries = state, t.sentence, u.failures })
	if u.raised != "" && u.raised != t.code {
		u.o.Conditions.Clear(u.raised, "", "")
	}
	u.raised = t.code
	u.o.Conditions.Raise(t.code, "", t.severity, t.sentence)
}

// tellOnline ends what tell began.
func (u *Uplink) tellOnline(s *session, w *wire.Welcome) {
	session, level, until := w.Session, w.Level, s.until
	encoding := strings.TrimPrefix(s.codec.Subprotocol, "fieldgate.v1.")
	session, level = u.plain(session), wire.Level(u.plain(string(level)))
	if u.raised != "" {
		u.o.Conditions.Clear(u.raised, "", fmt.Sprintf("connected to %s, after %d failed tries", u.host, u.failures))
	} else {
		u.o.Log.Info("connected to the cloud", "endpoint", u.shown, "session", session, "level", string(level))
	}
	u.raised, u.failures = "", 0
	u.endpoint.failures, u.endpoint.online = 0, time.Now()
	u.endpoint.until, u.endpoint.refused = time.Time{}, false
	u.showEndpoints()
	u.set(func(s *Status) {
		s.State, s.Session, s.Level, s.Encoding, s.Tries = Online, session, level, encoding, 0
		s.CertEnds = until
	})
	s.tellPaused("")
}

// plain makes text that came from outside fit for a sentence: one line, not
// long, and without the credential.
func (u *Uplink) plain(text string) string {
	b := slices.DeleteFunc([]byte(text), func(c byte) bool { return c < ' ' || c == 0x7f })
	// Only now: what was taken out may have stood in the middle of the credential.
	text = u.redact(string(bytes.ToValidUTF8(b, nil)))
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "..."
	}
	return text
}

// redact takes out the credential, should the other side repeat it.
func (u *Uplink) redact(text string) string {
	for _, secret := range []string{u.token, u.token[strings.LastIndexByte(u.token, '_')+1:]} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}
