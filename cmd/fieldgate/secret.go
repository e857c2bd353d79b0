package main

import (
	"crypto/x509"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// secretFile reads a one-line secret anew at every call, so that a file which
// is put in place later is found without a restart. Without a path there is
// no secret: fs.ErrNotExist.
func secretFile(path string) func() (string, error) {
	return func() (string, error) {
		if path == "" {
			return "", fmt.Errorf("no token_file is set: %w", fs.ErrNotExist)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
}

// authorities reads the PEM file of who may sign the cloud's certificate,
// anew at every call. Without a path it is whom the system trusts: nil.
func authorities(path string) func() (*x509.CertPool, error) {
	return func() (*x509.CertPool, error) {
		if path == "" {
			return nil, nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the authority: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", path)
		}
		return pool, nil
	}
}
