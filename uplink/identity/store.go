package identity

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway/durable"
	"github.com/fieldgate/fieldgate/gateway/files"
)

// File is the name of the credential's file in the state directory.
const File = "credential.json"

// fileMost is what the file may hold, in bytes.
const fileMost = 64 << 10

// A key is one credential: a token, or a certificate and its private key.
type key struct {
	Token       string    `json:"token,omitempty"`
	Certificate string    `json:"certificate,omitempty"` // PEM
	Private     string    `json:"private_key,omitempty"` // PEM, PKCS #8
	Issued      time.Time `json:"issued,omitzero"`       // by the cloud's clock; zero: not known yet
	NotAfter    time.Time `json:"not_after,omitzero"`    // of the certificate
}

// contents are what the file holds.
type contents struct {
	Seed string `json:"seed,omitempty"` // SHA-256 of the token_file that was taken over
	Keys []key  `json:"keys"`           // the present one; behind it the next, which the cloud may not have seen yet
}

// Options say where a Store finds what.
type Options struct {
	Dir string // the state directory
	// Seed reads the token that the configuration names; fs.ErrNotExist: none.
	// Whenever it is another than the one taken over before, it takes the place
	// of all others. nil: there is none.
	Seed   func() (string, error)
	Rotate time.Duration // age at which a token is exchanged; 0: never. Certificates are at two thirds of their life
	Log    *slog.Logger
}

// A Store keeps the credential and its successor. Another program may put a
// new credential in place meanwhile.
type Store struct {
	o Options

	mu      sync.Mutex
	held    contents // as last read or written
	unsaved bool     // the card refused what is held
	unseed  bool     // the seed cannot be read, which was told
	shown   *key     // last
	other   bool     // the next one was refused: the present one has its turn
	pending *request // an exchange under way
	asked   bool     // for another, after the last time this certificate was refused
}

// New makes a store. Nothing is read yet.
func New(o Options) *Store { return &Store{o: o} }

// Show gives what to show to the cloud: a token, or a certificate. It is
// fs.ErrNotExist if there is nothing yet.
func (k *Store) Show() (token string, cert *tls.Certificate, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refreshLocked(); err != nil {
		return "", nil, err
	}
	if len(k.held.Keys) == 0 {
		return "", nil, fmt.Errorf("no credential: %w", fs.ErrNotExist)
	}
	chosen := k.held.Keys[len(k.held.Keys)-1]
	if k.other {
		chosen = k.held.Keys[0]
	}
	if chosen.Token == "" {
		pair, err := tls.X509KeyPair([]byte(chosen.Certificate), []byte(chosen.Private))
		if err != nil {
			return "", nil, fmt.Errorf("the certificate in %s: %w", k.path(), err)
		}
		cert = &pair
	}
	k.shown = &chosen
	return chosen.Token, cert, nil
}

func (k *Store) path() string { return filepath.Join(k.o.Dir, File) }

// refreshLocked reads the file, and takes a new seed over.
func (k *Store) refreshLocked() error {
	var seed string
	var seedErr error = fs.ErrNotExist
	if k.o.Seed != nil {
		seed, seedErr = k.o.Seed()
	}
	k.tellSeedLocked(seedErr)
	if !k.unsaved {
		held, err := load(k.path())
		damaged := errors.Is(err, errDamaged) && seedErr == nil // the seed is what there is
		if err != nil && !damaged && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !slices.Equal(held.Keys, k.held.Keys) { // another program was here
			k.other, k.asked, k.pending = false, false, nil
		}
		k.held = held
	}
	switch {
	case seedErr == nil && seedHash(seed) != k.held.Seed:
		k.held, k.other = contents{Seed: seedHash(seed), Keys: []key{{Token: strings.TrimSpace(seed)}}}, false
		_ = k.saveLocked() // told there
	case seedErr != nil && len(k.held.Keys) == 0:
		return seedErr
	}
	return nil
}

// tellSeedLocked tells when a seed that is there cannot be taken over, once:
// what is held already is shown meanwhile, and nobody would notice.
func (k *Store) tellSeedLocked(err error) {
	bad := err != nil && !errors.Is(err, fs.ErrNotExist)
	if bad && !k.unseed && len(k.held.Keys) > 0 {
		k.o.Log.Warn("the token file cannot be read, so no other token is taken over from it; the credential that this gateway has is used",
			"error", err)
	}
	k.unseed = bad
}

func seedHash(seed string) string {
	sum := sha256.Sum256([]byte(strings.TrimSpace(seed)))
	return hex.EncodeToString(sum[:])
}

// saveLocked makes what is held durable. Where the card refuses, it is used all
// the same, and saved when that is possible again.
func (k *Store) saveLocked() error {
	err := save(k.path(), k.held)
	if err != nil && !k.unsaved {
		k.o.Log.Warn("the credential cannot be kept on the card; it is used all the same", "error", err)
	}
	k.unsaved = err != nil
	return err
}

// Accepted is told that the cloud welcomed what was shown last, and what time
// it is there, zero if that is not known. From now on it is the only one.
func (k *Store) Accepted(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked, k.other = false, false
	if k.shown == nil {
		return
	}
	one := *k.shown
	if one.Issued.IsZero() && !now.IsZero() {
		one.Issued = now.UTC().Truncate(time.Second)
	}
	if len(k.held.Keys) == 1 && k.held.Keys[0] == one && !k.unsaved {
		return
	}
	k.held.Keys, k.shown = []key{one}, &one
	_ = k.saveLocked() // told there
}

// Refused is told that the cloud refused what was shown last. It reports
// whether it is worth to try again soon: with the other one, or after an
// exchange of a certificate that may have ended.
func (k *Store) Refused() (again bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.held.Keys) > 1 {
		k.other = !k.other
		return k.other
	}
	// Asked for once in a round of tries: what kept the exchange from the cloud
	// may have passed by the next one.
	again = k.shown != nil && k.shown.Token == "" && !k.asked
	k.asked = false
	return again
}

var errDamaged = errors.New("damaged")

// load reads the file, which must be its owner's alone.
func load(path string) (c contents, err error) {
	text, err := files.Owned(path, fileMost)
	for _, foreign := range []error{files.ErrKind, files.ErrSize, files.ErrText} {
		if errors.Is(err, foreign) { // this program did not write it
			return c, fmt.Errorf("%w: %w: enrol this gateway again", errDamaged, err)
		}
	}
	if t := files.TroubleOf(err); t != files.None && t != files.Missing {
		return c, fmt.Errorf("the credential cannot be read now, and is tried again: %s: %w", files.Explain(path, err), err)
	}
	if err != nil {
		return c, fmt.Errorf("read the credential: %w", err)
	}
	if json.Unmarshal(text, &c) != nil { // its error may repeat what is secret
		return contents{}, fmt.Errorf("%w: %s is not what this program wrote: enrol this gateway again", errDamaged, path)
	}
	return c, nil
}

// save replaces the file as a whole.
func save(path string, c contents) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the credential: %w", err)
	}
	return replace(path, append(bytes.TrimSpace(text), '\n'))
}

// replace puts a file in place that is its owner's alone. Written by root, it
// belongs to whom the folder does: the daemon.
func replace(path string, text []byte) error {
	return durable.WriteFile(path, text, 0o600, func(f *os.File) error { return give(f, filepath.Dir(path)) })
}

// Ends is when the certificate ends that is shown; zero: a token is, or
// nothing.
func (k *Store) Ends() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shown == nil {
		return time.Time{}
	}
	return k.shown.NotAfter
}

// Life is how long the certificate lives that is shown; zero: not known.
func (k *Store) Life() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shown == nil || k.shown.Issued.IsZero() {
		return 0
	}
	return k.shown.NotAfter.Sub(k.shown.Issued)
}
