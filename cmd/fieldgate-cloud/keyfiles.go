package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

// keyLook is how often it is looked whether a file was renewed.
const keyLook = 2 * time.Second

// keyFiles are the files with the server's keys.
type keyFiles struct {
	certFile, caFile string // of which the end is told
	cert, gatewayCA  *files.Renewed[tls.Certificate]
	token            *files.Renewed[string]
	hangUp           chan os.Signal
}

func (c runCmd) keyFiles(log *slog.Logger) keyFiles {
	in := func(name string) string { return filepath.Join(c.State, name) }
	k := keyFiles{certFile: c.Cert, caFile: in(keyring.GatewayCAFile)}
	pair := []string{c.Cert, c.Key}
	if c.Cert == "" {
		k.certFile = in(keyring.ServerFile)
		pair = []string{in(keyring.CAFile), k.certFile, in(keyring.ServerKey)}
	}
	k.cert = files.Renew("the certificate of this server", pair, c.certificate, log)
	k.gatewayCA = files.Renew("the authority of the gateways", []string{k.caFile, in(keyring.GatewayCAKey)},
		func() (tls.Certificate, error) { return keyring.GatewayCA(c.State) }, log)
	k.token = files.Renew("the operator's token", []string{in(keyring.OperatorTokenFile)}, func() (string, error) {
		token, _, err := keyring.OperatorToken(c.State)
		return token, err
	}, log)
	k.hangUp = make(chan os.Signal, 1)
	signal.Notify(k.hangUp, syscall.SIGHUP) // from now on none ends the process
	return k
}

// look gives the newest keys that can be taken.
func (k keyFiles) look() (cloud.Keys, error) {
	cert, err := k.cert.Look()
	ca, err2 := k.gatewayCA.Look()
	token, err3 := k.token.Look()
	if err := errors.Join(err, err2, err3); err != nil {
		return cloud.Keys{}, err
	}
	return cloud.Keys{Certificate: &cert, GatewayCA: &ca, OperatorToken: token,
		Ends: map[string]time.Time{k.certFile: cert.Leaf.NotAfter, k.caFile: ca.Leaf.NotAfter}}, nil
}

// run gives the server the newest keys until ctx is done, at SIGHUP at once.
func (k keyFiles) run(ctx context.Context, use func(cloud.Keys), log *slog.Logger) {
	tick := time.NewTicker(keyLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.hangUp:
			log.Info("SIGHUP: certificates, keys and tokens are read again; flags count from the next start on")
		case <-tick.C:
		}
		if now, err := k.look(); err == nil { // there were keys, so there is no error
			use(now)
		}
	}
}
