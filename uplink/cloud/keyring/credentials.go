package keyring

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// What can be wrong with a credential or a command about one.
var (
	ErrCredential     = errors.New("the credential is not valid")
	ErrGatewayExists  = errors.New("this gateway exists already")
	ErrUnknownGateway = errors.New("no such gateway")
)

const (
	tokenPrefix     = "fg1_"
	Within          = 5 * time.Second // for one look at where credentials are kept
	keyringTries    = 10              // for a change that others may make at the same time
	KindCertificate = "certificate"
)

// Credentials are who may connect: one document per gateway, in a folder that
// is read at every use (so that a gateway can be added and removed while a
// server runs), or in the KV that the servers of one cloud share.
type Credentials struct {
	Dir string
	KV  record.KV // nil: Dir
}

// A Key is one thing by which a gateway shows who it is. The server keeps the
// hash of a token's secret, never the token.
type Key struct {
	Kind   string    `json:"kind,omitempty"` // "": a token; "certificate"
	SHA256 string    `json:"sha256"`         // of the secret's 32 bytes, or of the certificate in DER; hex
	Added  time.Time `json:"added"`
	Until  time.Time `json:"until,omitzero"` // of a certificate
}

// A Credential is what the server knows of a gateway. While it is rotated
// there are two keys: the first use of the next one ends the other.
type Credential struct {
	ID string `json:"gateway_id"`
	Key
	Next *Key `json:"next,omitempty"`
}

// Store gives where the credentials lie.
func (c Credentials) Store() record.KV {
	if c.KV != nil {
		return c.KV
	}
	return Folder{c.Dir}
}

func keyOf(id string) string { return "cred." + id }

// Add makes a gateway's credential and gives its token, fg1_<id>_<64 hex>,
// which cannot be had again.
func (c Credentials) Add(id string) (token string, err error) {
	if !gateway.ValidID(id) {
		return "", fmt.Errorf("gateway id %q: want 1 to 64 of A-Z a-z 0-9 _ -", id)
	}
	secret := RandomHex()
	key, err := tokenKey(secret)
	if err != nil {
		return "", err
	}
	err = c.put(Credential{ID: id, Key: key}, 0)
	if errors.Is(err, record.ErrRevision) {
		return "", fmt.Errorf("%w: %s", ErrGatewayExists, id)
	}
	if err != nil {
		return "", err
	}
	return tokenPrefix + id + "_" + secret, nil
}

// Remove takes a gateway's credential away, and the one-time tokens by which it
// would get another: the answer to one that was used may be asked for again for
// a while. Its readings stay in the log.
func (c Credentials) Remove(id string) error {
	if !gateway.ValidID(id) {
		return fmt.Errorf("%w: %q", ErrUnknownGateway, id)
	}
	if _, _, err := c.get(id); err != nil {
		return err
	}
	tokens := c.removeOnce(id) // before: they make a credential where there is none
	ctx, cancel := context.WithTimeout(context.Background(), Within)
	defer cancel()
	if err := c.Store().Delete(ctx, keyOf(id)); err != nil {
		return fmt.Errorf("remove credential of %s: %w", id, err)
	}
	return tokens
}

// List gives every credential, in the order of their ids.
func (c Credentials) List() ([]Credential, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Within)
	defer cancel()
	var list []Credential
	for doc, err := range c.Store().List(ctx, "cred") {
		if err != nil {
			return nil, fmt.Errorf("list credentials: %w", err)
		}
		cred, err := decodeCredential(doc)
		if err != nil {
			return nil, err
		}
		list = append(list, cred)
	}
	slices.SortFunc(list, func(a, b Credential) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// Read gives the credential of a gateway, or ErrUnknownGateway.
func (c Credentials) Read(id string) (Credential, error) {
	cred, _, err := c.get(id)
	return cred, err
}

// get gives a credential and its revision, or ErrUnknownGateway.
func (c Credentials) get(id string) (Credential, uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Within)
	defer cancel()
	doc, err := c.Store().Get(ctx, keyOf(id))
	if errors.Is(err, record.ErrNoDoc) {
		return Credential{}, 0, fmt.Errorf("%w: %s", ErrUnknownGateway, id)
	}
	if err != nil {
		return Credential{}, 0, fmt.Errorf("read credential of %s: %w", id, err)
	}
	cred, err := decodeCredential(doc)
	return cred, doc.Rev, err
}

func decodeCredential(doc record.Doc) (cred Credential, err error) {
	if err := json.Unmarshal(doc.Body, &cred); err != nil {
		return cred, fmt.Errorf("read credential %s: %w", doc.Key, err)
	}
	if keyOf(cred.ID) != doc.Key {
		return cred, fmt.Errorf("the credential in %s is of gateway %q", doc.Key, cred.ID)
	}
	return cred, nil
}

func (c Credentials) put(cred Credential, rev uint64) error {
	b, err := json.MarshalIndent(cred, "", "  ")
	if err != nil {
		return fmt.Errorf("encode credential: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Within)
	defer cancel()
	if _, err := c.Store().Put(ctx, keyOf(cred.ID), append(b, '\n'), rev, 0); err != nil {
		return fmt.Errorf("keep credential of %s: %w", cred.ID, err)
	}
	return nil
}

// change alters a credential, made anew if there is none; do is called again
// when another has changed it meanwhile.
func (c Credentials) change(id string, do func(*Credential) error) error {
	for range keyringTries {
		cred, rev, err := c.get(id)
		if errors.Is(err, ErrUnknownGateway) {
			cred, rev, err = Credential{ID: id}, 0, nil
		}
		if err != nil {
			return err
		}
		if err := do(&cred); err != nil {
			return err
		}
		if err := c.put(cred, rev); !errors.Is(err, record.ErrRevision) {
			return err
		}
	}
	return fmt.Errorf("keep credential of %s: %w", id, record.ErrRevision)
}

// offer gives a gateway a key beside the one that it has. A key offered before
// and never used is forgotten.
func (c Credentials) offer(id string, key Key) error {
	return c.change(id, func(cred *Credential) error {
		switch {
		case cred.SHA256 == "":
			cred.Key = key
		case cred.SHA256 != key.SHA256:
			cred.Next = &key
		}
		return nil
	})
}

// Split gives the gateway that a token names and the hash of its secret, or
// ErrCredential. It does not say whether the token is good for anything.
func Split(token string) (id string, hash [32]byte, err error) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	cut := strings.LastIndexByte(rest, '_') // an id may have underscores
	if !ok || cut < 0 || !gateway.ValidID(rest[:cut]) {
		return "", hash, fmt.Errorf("%w: not of the form %s<id>_<secret>", ErrCredential, tokenPrefix)
	}
	hash, err = hashSecret(rest[cut+1:])
	return rest[:cut], hash, err
}

// Check tells whether hash is (still) that of a key of a gateway: nil,
// ErrCredential, or that it cannot be known now.
func (c Credentials) Check(id string, hash [32]byte) error {
	cred, err := c.Read(id)
	if errors.Is(err, ErrUnknownGateway) {
		return fmt.Errorf("%w: no gateway %s", ErrCredential, id)
	}
	if err != nil {
		return err
	}
	if !cred.is(hash) && (cred.Next == nil || !cred.Next.is(hash)) {
		return fmt.Errorf("%w: not a key of gateway %s", ErrCredential, id)
	}
	return nil
}

// Find gives the key of a gateway that has this hash and kind.
func (c Credentials) Find(id string, hash [32]byte, kind string) (next bool, err error) {
	cred, err := c.Read(id)
	if errors.Is(err, ErrUnknownGateway) {
		return false, fmt.Errorf("%w: no gateway %s", ErrCredential, id)
	}
	if err != nil {
		return false, err
	}
	switch {
	case cred.Kind == kind && cred.is(hash):
		return false, nil
	case cred.Next != nil && cred.Next.Kind == kind && cred.Next.is(hash):
		return true, nil
	}
	return false, fmt.Errorf("%w: wrong secret for gateway %s", ErrCredential, id)
}

// Used notes that a gateway has shown a key: if it was the next one, the other
// ends, and rotated is true.
func (c Credentials) Used(id string, hash [32]byte) (rotated bool, err error) {
	err = c.change(id, func(cred *Credential) error {
		rotated = cred.Next != nil && cred.Next.is(hash)
		if !rotated {
			return errNothing
		}
		cred.Key, cred.Next = *cred.Next, nil
		return nil
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	return rotated, err
}

// errNothing ends a change that there is no need for.
var errNothing = errors.New("nothing to change")

// IDs gives which gateways have a credential.
func (c Credentials) IDs() (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Within)
	defer cancel()
	ids := map[string]bool{}
	for doc, err := range c.Store().List(ctx, "cred") {
		if err != nil {
			return nil, fmt.Errorf("count credentials: %w", err)
		}
		ids[strings.TrimPrefix(doc.Key, "cred.")] = true
	}
	return ids, nil
}

// is compares a hash in constant time.
func (k Key) is(hash [32]byte) bool {
	want, err := hex.DecodeString(k.SHA256)
	return err == nil && subtle.ConstantTimeCompare(want, hash[:]) == 1
}

func tokenKey(secret string) (Key, error) {
	hash, err := hashSecret(secret)
	if err != nil {
		return Key{}, err
	}
	return Key{SHA256: hex.EncodeToString(hash[:]), Added: now()}, nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// hashSecret hashes a secret of 256 random bits: as it cannot be guessed, no
// slow hash is needed.
func hashSecret(secret string) (hash [32]byte, err error) {
	b, err := hex.DecodeString(secret)
	if err != nil || len(b) != 32 {
		return hash, fmt.Errorf("%w: the secret is not 64 hex digits", ErrCredential)
	}
	return sha256.Sum256(b), nil
}

// derived gives the secret that a one-time token and a salt make: so the same
// answer can be given twice without being kept. Who has only one of the two
// knows nothing of it.
func derived(token []byte, salt string) string {
	mac := hmac.New(sha256.New, token)
	mac.Write([]byte("fieldgate secret\n" + salt))
	return hex.EncodeToString(mac.Sum(nil))
}
