package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// authorityFor makes an authority that ends after a time.
func authorityFor(t *testing.T, life time.Duration) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(life), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, form, form, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// A renewed authority is taken without a restart, one that ends soon is told,
// and a SIGHUP ends nothing.
func TestAuthorityThatEnds(t *testing.T) {
	config, addr, _ := logging(t)
	ca := write(t, filepath.Join(filepath.Dir(config), "ca.pem"), authorityFor(t, 13*24*time.Hour))
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, strings.Replace(string(text), "[uplink]\n", fmt.Sprintf("[uplink]\nca = %q\n", ca), 1))
	cmd := program(t, "run", "--config", config)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = w
	startReady(t, cmd)
	w.Close()
	ends := func(_ []e2e.Reading, s e2e.Status) bool {
		for _, c := range s.Health {
			if c.Code == codeCertificateEnds && strings.Contains(c.Sentence, ca) {
				return true
			}
		}
		return false
	}
	screen := e2e.Watch(t, addr)
	screen.Await(t, "the condition", 0, ends)
	if text := body(t, "http://"+addr+"/metrics"); !strings.Contains(text, `fieldgate_certificate_end_seconds{of="`+ca+`"}`) {
		t.Errorf("its end is no figure:\n%s", text)
	}
	lines := bufio.NewScanner(r)
	readUntil(t, lines, "ends on")
	// Half written, then whole; each SIGHUP has it looked at now.
	next := authorityFor(t, 60*24*time.Hour)
	write(t, ca, next[:len(next)/2])
	sendSignal(t, "HUP", fmt.Sprint(cmd.Process.Pid))
	readUntil(t, lines, "cannot be taken")
	write(t, ca, next)
	sendSignal(t, "HUP", fmt.Sprint(cmd.Process.Pid))
	readUntil(t, lines, "the authority of the cloud was renewed")
	readUntil(t, lines, "the certificate in "+ca+" was renewed")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the gateway did not end in order: %v", err)
	}
}
