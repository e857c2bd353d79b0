package keyring

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway/durable"
	"github.com/fieldgate/fieldgate/gateway/files"
)

// LockState makes the state directory and takes its lock, so that no two
// servers write one log. The lock is held until release, or until the process
// dies. The directory itself is readable, for ca.pem; what is secret in it has
// its own mode.
func LockState(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("in use by another fieldgate-cloud")
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock state directory %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

// OperatorTokenFile is the file in a state directory that opens the operator's
// API.
const OperatorTokenFile = "operator.token"

// OperatorToken gives the token that opens the operator's API, from
// operator.token in dir; it is made (mode 0600) if there is none.
func OperatorToken(dir string) (token, path string, err error) {
	path = filepath.Join(dir, OperatorTokenFile)
	token, err = files.Line(path)
	if errors.Is(err, fs.ErrNotExist) {
		token = RandomHex()
		err = durable.WriteFile(path, []byte(token+"\n"), 0o600, nil)
	}
	if err != nil {
		return "", path, fmt.Errorf("operator token: %w", unreadable(path, err))
	}
	if len(token) < 32 {
		return "", path, fmt.Errorf("operator token in %s is shorter than 32 characters: remove the file to have a new one made", path)
	}
	return token, path, nil
}

// RandomHex gives 256 random bits in hex.
func RandomHex() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // ends the process rather than fail
	return hex.EncodeToString(b[:])
}
