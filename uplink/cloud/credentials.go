package cloud

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// What can be wrong with a credential or a command about one.
var (
	ErrCredential     = errors.New("the credential is not valid")
	ErrGatewayExists  = errors.New("this gateway exists already")
	ErrUnknownGateway = errors.New("no such gateway")
)

const tokenPrefix = "fg1_"

// Credentials is the folder that holds one file per gateway. It is read at
// every use, so that a gateway can be added and removed while a server runs.
type Credentials struct{ Dir string }

// A Credential is what the server keeps of a gateway's token: never the token.
type Credential struct {
	ID     string    `json:"gateway_id"`
	SHA256 string    `json:"sha256"` // of the secret's 32 bytes, in hex
	Added  time.Time `json:"added"`
}

// Add makes a gateway's credential and gives its token, fg1_<id>_<64 hex>,
// which cannot be had again.
func (c Credentials) Add(id string) (token string, err error) {
	if !gateway.ValidID(id) {
		return "", fmt.Errorf("gateway id %q: want 1 to 64 of A-Z a-z 0-9 _ -", id)
	}
	// The state directory around it is readable: see LockState.
	err = os.MkdirAll(filepath.Dir(c.Dir), 0o755)
	if err == nil {
		err = os.MkdirAll(c.Dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("make folder of credentials: %w", err)
	}
	if _, err := os.Lstat(c.path(id)); err == nil {
		return "", fmt.Errorf("%w: %s", ErrGatewayExists, id)
	}
	secret := randomHex()
	hash, err := hashSecret(secret)
	if err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(Credential{id, hex.EncodeToString(hash[:]), time.Now().UTC().Truncate(time.Second)}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode credential: %w", err)
	}
	return tokenPrefix + id + "_" + secret, writeFile(c.path(id), append(b, '\n'), 0o600)
}

// Remove takes a gateway's credential away. Its readings stay in the log.
func (c Credentials) Remove(id string) error {
	if !gateway.ValidID(id) {
		return fmt.Errorf("%w: %q", ErrUnknownGateway, id)
	}
	err := os.Remove(c.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrUnknownGateway, id)
	}
	if err != nil {
		return fmt.Errorf("remove credential: %w", err)
	}
	return syncDir(c.Dir)
}

// List gives every credential, in the order of their ids.
func (c Credentials) List() ([]Credential, error) {
	entries, err := os.ReadDir(c.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	var list []Credential
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !gateway.ValidID(id) {
			continue
		}
		cred, err := c.read(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed in this moment
		}
		if err != nil {
			return nil, err
		}
		list = append(list, cred)
	}
	slices.SortFunc(list, func(a, b Credential) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// count gives how many gateways have a credential.
func (c Credentials) count() (int, error) {
	entries, err := os.ReadDir(c.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("count credentials: %w", err)
	}
	return len(entries), nil
}

func (c Credentials) path(id string) string { return filepath.Join(c.Dir, id+".json") }

func (c Credentials) read(id string) (cred Credential, err error) {
	b, err := os.ReadFile(c.path(id))
	if err != nil {
		return cred, fmt.Errorf("read credential: %w", err)
	}
	if err := json.Unmarshal(b, &cred); err != nil {
		return cred, fmt.Errorf("read credential of %s: %w", id, err)
	}
	if cred.ID != id {
		return cred, fmt.Errorf("the credential in %s is of gateway %q", c.path(id), cred.ID)
	}
	return cred, nil
}

// verify gives the gateway that a token belongs to and the hash of its
// secret, or ErrCredential.
func (c Credentials) verify(token string) (id string, hash [32]byte, err error) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	cut := strings.LastIndexByte(rest, '_') // an id may have underscores
	if !ok || cut < 0 || !gateway.ValidID(rest[:cut]) {
		return "", hash, fmt.Errorf("%w: not of the form %s<id>_<secret>", ErrCredential, tokenPrefix)
	}
	if hash, err = hashSecret(rest[cut+1:]); err != nil {
		return "", hash, err
	}
	return rest[:cut], hash, c.check(rest[:cut], hash)
}

// check tells whether hash is (still) that of a gateway's secret: nil,
// ErrCredential, or that the file cannot be read.
func (c Credentials) check(id string, hash [32]byte) error {
	cred, err := c.read(id)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: no gateway %s", ErrCredential, id)
	}
	if err != nil {
		return err
	}
	want, err := hex.DecodeString(cred.SHA256)
	if err != nil {
		return fmt.Errorf("read credential of %s: %w", id, err)
	}
	if subtle.ConstantTimeCompare(want, hash[:]) != 1 {
		return fmt.Errorf("%w: wrong secret for gateway %s", ErrCredential, id)
	}
	return nil
}

// hashSecret hashes a secret of 256 random bits: as it cannot be guessed, no
// slow hash is needed.
func hashSecret(secret string) (hash [32]byte, err error) {
	b, err := hex.DecodeString(secret)
	if err != nil || len(b) != 32 {
		return hash, fmt.Errorf("%w: the secret is not 64 hex digits", ErrCredential)
	}
	return sha256.Sum256(b), nil
}
