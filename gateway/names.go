package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
)

// An EpochID is 16 random bytes drawn at every opening of the store. Within an
// epoch the sequence counts 1, 2, 3, … without a hole.
type EpochID [16]byte

// A BootID names one boot of the board (/proc/sys/kernel/random/boot_id).
// Stamps can only be compared within one boot.
type BootID [16]byte

// NewEpochID draws a new epoch. It cannot fail: crypto/rand ends the process
// on a system that cannot give random bytes.
func NewEpochID() EpochID {
	var e EpochID
	_, _ = rand.Read(e[:])
	return e
}

// String gives 32 hex digits.
func (e EpochID) String() string { return hex.EncodeToString(e[:]) }

// MarshalText gives 32 hex digits, the form in JSON.
func (e EpochID) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText takes 32 hex digits.
func (e *EpochID) UnmarshalText(b []byte) error { return parseHex16((*[16]byte)(e), b, "epoch") }

// String gives 32 hex digits.
func (b BootID) String() string { return hex.EncodeToString(b[:]) }

// MarshalText gives 32 hex digits, the form in JSON.
func (b BootID) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText takes 32 hex digits.
func (b *BootID) UnmarshalText(t []byte) error { return parseHex16((*[16]byte)(b), t, "boot id") }

// UnmarshalBinary takes 16 bytes and no other number: a short id padded with
// zeros would be another epoch.
func (e *EpochID) UnmarshalBinary(b []byte) error { return copy16((*[16]byte)(e), b, "epoch") }

// UnmarshalBinary takes 16 bytes and no other number.
func (b *BootID) UnmarshalBinary(d []byte) error { return copy16((*[16]byte)(b), d, "boot id") }

func copy16(dst *[16]byte, b []byte, what string) error {
	if len(b) != 16 {
		return fmt.Errorf("%s has %d bytes, want 16", what, len(b))
	}
	copy(dst[:], b)
	return nil
}

func parseHex16(dst *[16]byte, text []byte, what string) error {
	if len(text) != 32 {
		return fmt.Errorf("%s has %d characters, want 32 hex digits", what, len(text))
	}
	if _, err := hex.Decode(dst[:], text); err != nil {
		return fmt.Errorf("parse %s: %w", what, err)
	}
	return nil
}

// A Name names one reading of a gateway for ever. Seq starts at 1.
type Name struct {
	Epoch EpochID
	Seq   uint64
}

// A Range is N consecutive names of one epoch, starting with First.
type Range struct {
	Epoch EpochID
	First uint64
	N     uint64
}

// Last is the seq of the last name in the range; First-1 when it is empty.
func (r Range) Last() uint64 { return r.First + r.N - 1 }

// ValidID reports whether s can be a gateway_id, device_id or quantity:
// [A-Za-z0-9_-]{1,64}. Such a name is safe as a file name, as a NATS subject
// token and in a URL.
func ValidID(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// CertificateName gives the name or address that the certificate of a host must
// be for. The zone of an IPv6 address (fe80::1%eth0) says by which interface it
// is reached, and stands in no certificate.
func CertificateName(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.WithZone("").String()
	}
	return host
}
