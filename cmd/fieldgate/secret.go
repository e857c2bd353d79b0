package main

import (
	"crypto/x509"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/uplink/identity"
)

// secretFile reads a one-line secret anew at every call, so that a file which
// is put in place later is found without a restart. Without a path there is
// no secret: fs.ErrNotExist.
func secretFile(path string) func() (string, error) {
	return func() (string, error) {
		if path == "" {
			return "", fmt.Errorf("no token_file is set: %w", fs.ErrNotExist)
		}
		return readSecret(path)
	}
}

// localToken reads the token of the page on site; nil where none is set up.
func localToken(cfg config.Local) func() (string, error) {
	if cfg.TokenFile == "" {
		return nil
	}
	return secretFile(cfg.TokenFile)
}

// secretMost is what may be typed for a secret, in bytes.
const secretMost = files.MostLine

// readSecret reads a one-line secret from a file that is its owner's alone.
func readSecret(path string) (string, error) {
	text, err := files.Secret(path)
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	return text, nil
}

// proxyAddress gives the proxy of the configuration, anew at every call where
// it stands in a file. Without one it is nil.
func proxyAddress(cfg config.Uplink) func() (string, error) {
	switch {
	case cfg.ProxyFile != "":
		return func() (string, error) { return readSecret(cfg.ProxyFile) }
	case cfg.Proxy != "":
		return func() (string, error) { return cfg.Proxy, nil }
	}
	return nil
}

// credentialStore keeps the gateway's credential in its state directory. token_file
// seeds it.
func credentialStore(cfg *config.Config, log *slog.Logger) *identity.Store {
	return identity.New(identity.Options{Dir: cfg.Store.Dir, Seed: secretFile(cfg.Uplink.TokenFile), Rotate: cfg.Uplink.Rotate, Log: log})
}

// A trust is whom a file names as those who may sign, and when that ends.
type trust struct {
	path  string
	pool  *x509.CertPool
	until time.Time // zero: not known
}

// keptTrust reads authorities as authorities does, but goes on with what there
// was before while the file cannot be taken.
func keptTrust(path, what string, log *slog.Logger) func() (trust, error) {
	read := func() (trust, error) {
		pool, err := authorities(path)()
		return trust{path, pool, firstEnd(path)}, err
	}
	if path == "" {
		return read
	}
	return files.Renew(what, []string{path}, read, log).Look
}

// pool is what the uplink takes of a trust.
func pool(of func() (trust, error)) func() (*x509.CertPool, error) {
	return func() (*x509.CertPool, error) { t, err := of(); return t.pool, err }
}

// authorities reads the PEM file of who may sign the cloud's certificate,
// anew at every call. Without a path it is whom the system trusts: nil.
func authorities(path string) func() (*x509.CertPool, error) {
	return func() (*x509.CertPool, error) {
		if path == "" {
			return nil, nil
		}
		pool, err := files.Authorities(path)
		if err != nil {
			return nil, fmt.Errorf("read the authority: %w", err)
		}
		return pool, nil
	}
}
