package files

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
)

// ErrPEM is a file that does not hold what it should in PEM form (RFC 7468).
var ErrPEM = errors.New("this is not PEM as it should be")

// Authorities gives the certificates of a PEM file as those who may sign
// others. Every block of the file that says it is a certificate must be one:
// none is left out without a word, as x509.CertPool does.
func Authorities(path string) (*x509.CertPool, error) {
	data, err := pemText(path)
	if err != nil {
		return nil, err
	}
	blocks, err := blocksOf(path, data)
	if err != nil {
		return nil, err
	}
	pool, n := x509.NewCertPool(), 0
	for _, b := range blocks {
		if b.Type != "CERTIFICATE" {
			continue // a key or parameters beside them are nothing to trust
		}
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: the certificate that begins in line %d cannot be read: %w", path, ErrPEM, b.line, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM form: %w", path, ErrPEM)
	}
	return pool, nil
}

// KeyPair gives the certificate chain of one PEM file with the key of another.
func KeyPair(certFile, keyFile string) (tls.Certificate, error) {
	var texts [2][]byte
	for i, path := range [2]string{certFile, keyFile} {
		data, err := pemText(path)
		if err != nil {
			return tls.Certificate{}, err
		}
		blocks, err := blocksOf(path, data)
		if err != nil {
			return tls.Certificate{}, err
		}
		for _, b := range blocks {
			if i == 1 && (b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "") {
				return tls.Certificate{}, fmt.Errorf("%s: the key is protected by a passphrase, which nobody types at a start: "+
					"take it away with openssl pkey", path)
			}
		}
		texts[i] = data
	}
	cert, err := tls.X509KeyPair(texts[0], texts[1])
	if err != nil {
		return cert, fmt.Errorf("%s with the key %s: %w", certFile, keyFile, err)
	}
	return cert, nil
}

var (
	lineEnds = regexp.MustCompile(`[ \t]*\r\n?|[ \t]+\n`)
	indents  = regexp.MustCompile(`(?m)^[ \t]+`)
	glued    = regexp.MustCompile(`(-----END [A-Z0-9 ]+-----)[ \t]*(-----BEGIN )`)
	begins   = regexp.MustCompile(`-----BEGIN `)
)

// pemText reads a PEM file into the form that encoding/pem wants, which leaves
// out blocks that are indented or follow another one without a new line.
func pemText(path string) ([]byte, error) {
	data, err := Read(path, MostPEM)
	if err != nil {
		return nil, err
	}
	if len(data) > 2 && data[0] == 0x30 && data[1]&0x80 != 0 {
		return nil, fmt.Errorf("%s is in DER form, not PEM: convert it with openssl x509 -inform der: %w", path, ErrPEM)
	}
	if data, err = plain(path, data); err != nil {
		return nil, err
	}
	data = lineEnds.ReplaceAll(data, []byte("\n"))
	data = indents.ReplaceAll(data, nil)
	return glued.ReplaceAll(data, []byte("$1\n$2")), nil
}

// A pemBlock knows its line, from 1.
type pemBlock struct {
	*pem.Block
	line int
}

// blocksOf gives all blocks of a file. One that begins and cannot be read is
// an error.
func blocksOf(path string, data []byte) ([]pemBlock, error) {
	var blocks []pemBlock
	rest, number, counted := data, 1, 0
	for _, at := range begins.FindAllIndex(data, -1) {
		number += bytes.Count(data[counted:at[0]], []byte("\n"))
		counted = at[0]
		start := len(data) - len(rest)
		next, after := pem.Decode(rest)
		// Decode goes on to the next block where it cannot read one.
		if next == nil || at[0] < start || bytes.Count(data[start:len(data)-len(after)], []byte("-----BEGIN ")) != 1 {
			return nil, fmt.Errorf("%s: %w: the block that begins in line %d is cut off or damaged", path, ErrPEM, number)
		}
		if next.Type == "TRUSTED CERTIFICATE" || next.Type == "X509 CERTIFICATE" {
			return nil, fmt.Errorf("%s: %w: the block in line %d is a %q, not a CERTIFICATE: convert it with openssl x509",
				path, ErrPEM, number, next.Type)
		}
		blocks, rest = append(blocks, pemBlock{next, number}), after
	}
	return blocks, nil
}
