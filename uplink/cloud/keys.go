package cloud

import (
	"crypto/tls"
	"time"
)

// Keys are what a server is known by and knows others by. Their files may be
// renewed while it runs.
type Keys struct {
	Certificate   *tls.Certificate // of the server itself; nil: that of Serve
	GatewayCA     *tls.Certificate // signs the certificates of gateways; nil: they have tokens only
	OperatorToken string
	Ends          map[string]time.Time // of certificates, by the file that they are from
}

// Use takes keys in the place of those of Options, for connections and requests
// from now on. Sessions that are open stay.
func (s *Server) Use(k Keys) { s.keys.Store(&k) }

// secured is how the next connection is secured; first is the certificate of
// Serve.
func (s *Server) secured(first tls.Certificate) *tls.Config {
	k := s.keys.Load()
	if k.Certificate != nil {
		first = *k.Certificate
	}
	// HTTP/2 is not offered: it has no upgrade to WebSocket that gateways speak.
	c := &tls.Config{Certificates: []tls.Certificate{first}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	askForCertificates(c, k.GatewayCA)
	return c
}
