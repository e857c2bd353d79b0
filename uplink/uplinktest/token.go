package uplinktest

import (
	"crypto/tls"
	"time"
)

// A Token is a credential that nobody exchanges: a token, given anew at every
// try.
type Token func() (string, error)

// Show implements uplink.Credential.
func (t Token) Show() (string, *tls.Certificate, error) { s, err := t(); return s, nil, err }

// Accepted implements uplink.Credential.
func (t Token) Accepted(time.Time) {}

// Refused implements uplink.Credential.
func (t Token) Refused() bool { return false }

// Renew implements uplink.Credential.
func (t Token) Renew(time.Time, bool) ([]byte, error) { return nil, nil }

// Renewed implements uplink.Credential.
func (t Token) Renewed([]byte, time.Time) error { return nil }
