package dashboard

import (
	"testing"
	"testing/fstest"
)

// A page that is not whole is an error, and no end of the program.
func TestBrokenPageIsAnError(t *testing.T) {
	for name, dist := range map[string]fstest.MapFS{
		"nothing": {}, "no index.html": {"dist/app.js": {Data: []byte("x")}}, "a folder": {"dist/index.html/x": {Data: []byte("x")}},
	} {
		if files, err := filesOf(dist); err == nil {
			t.Errorf("%s: %d files and no error", name, len(files))
		}
	}
}
