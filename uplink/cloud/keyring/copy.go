package keyring

import (
	"errors"
	"fmt"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// CopyTo copies every credential to where another keyring lies, so that
// gateways keep their tokens, and gives how many it copied. What is there
// already stays as it is.
func (c Credentials) CopyTo(other Credentials) (n int, err error) {
	list, err := c.List()
	if err != nil {
		return 0, err
	}
	for _, cred := range list {
		err := other.put(cred, 0)
		if errors.Is(err, record.ErrRevision) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("copy credentials: %w", err)
		}
		n++
	}
	return n, nil
}
