package cloud

import (
	"context"
	"fmt"
)

// CopyTo copies every credential, and the one-time tokens that are not used
// up, to another place, over what is there. It says how many credentials.
func (c Credentials) CopyTo(ctx context.Context, to Credentials) (n int, err error) {
	for _, kind := range []string{"cred", "token"} {
		for doc, err := range c.shelf().List(ctx, kind) {
			if err != nil {
				return n, fmt.Errorf("copy credentials: %w", err)
			}
			if _, err := to.shelf().Put(ctx, doc.Key, doc.Body, AnyRev, 0); err != nil {
				return n, fmt.Errorf("copy credentials: %w", err)
			}
			if kind == "cred" {
				n++
			}
		}
	}
	return n, nil
}
