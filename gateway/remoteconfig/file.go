package remoteconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fieldgate/fieldgate/gateway/durable"
	"github.com/fieldgate/fieldgate/gateway/files"
)

// fileMost is the most that the file has, in bytes: two configurations of the
// cloud (128 KiB each, six times that where every byte is escaped), and what
// was told of others.
const fileMost = 2 << 20

// errUnread is a file that is there and cannot be read now: for want of rights or
// of open files, or because the card does not give it. It may be whole.
var errUnread = errors.New("it cannot be read now, and is tried again")

// load reads the file into k; one that is not there is nothing kept. One that
// makes no sense is set aside.
func load(path string, k *kept) error {
	text, err := files.Read(path, fileMost)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, files.ErrKind) || errors.Is(err, files.ErrSize): // this program did not write it
	case err != nil:
		return fmt.Errorf("%w: %s: %w", errUnread, files.Explain(path, err), err)
	default:
		err = json.Unmarshal(text, k)
	}
	if err != nil {
		*k = kept{}
		return errors.Join(fmt.Errorf("read %s: %w", path, err), os.Rename(path, path+".damaged"))
	}
	return nil
}

// writeLocked puts what is kept on the card. It is for its owner alone:
// addresses and names of devices are nobody else's.
func (k *Manager) writeLocked() error {
	if k.unread {
		return errUnread // what it holds is not replaced
	}
	text, err := json.Marshal(k.kept)
	if err != nil {
		return fmt.Errorf("encode the configuration: %w", err)
	}
	if err := durable.WriteFile(k.path, text, 0o600, nil); err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	return nil
}
