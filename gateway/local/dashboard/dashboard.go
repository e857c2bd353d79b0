// Package dashboard holds the page that technicians see on site: TypeScript
// in src/, built by packaging/tools/dashboard into dist/, which is committed
// and compiled in. The page needs no other host and the daemon no Node.
package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed dist
var dist embed.FS

// kinds are the media types of what the build makes; the board's own tables
// may say otherwise.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// A File is one file of the page. It answers GET with an ETag, compressed
// where the browser takes gzip.
type File struct {
	Path string // in the URL: "/" or "/assets/…"

	kind   string // media type
	etag   string
	plain  []byte
	zipped func() []byte // made when first asked for: the daemon's start need not wait for it
}

// Files gives all files of the page, or why there is none.
func Files() ([]*File, error) { return filesOf(dist) }

func filesOf(dist fs.FS) ([]*File, error) {
	entries, err := fs.ReadDir(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	var files []*File
	whole := false
	for _, e := range entries {
		f, err := newFile(dist, e.Name())
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		whole = whole || f.Path == "/"
	}
	if !whole {
		return nil, errors.New("the page has no index.html")
	}
	return files, nil
}

func newFile(dist fs.FS, name string) (*File, error) {
	plain, err := fs.ReadFile(dist, "dist/"+name)
	if err != nil {
		return nil, fmt.Errorf("read a file of the page: %w", err)
	}
	sum := sha256.Sum256(plain)
	f := &File{
		Path:   "/assets/" + name,
		kind:   kinds[path.Ext(name)],
		etag:   `"` + hex.EncodeToString(sum[:8]) + `"`,
		plain:  plain,
		zipped: sync.OnceValue(func() []byte { return compress(plain) }),
	}
	if name == "index.html" {
		f.Path = "/"
	}
	return f, nil
}

// ServeHTTP answers with the file. Browsers ask each time whether it changed,
// so that an upgraded gateway never shows an old page.
func (f *File) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	body, etag := f.plain, f.etag
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body, etag = f.zipped(), strings.TrimSuffix(f.etag, `"`)+`-gz"`
	}
	h.Set("ETag", etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func compress(plain []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a level that exists
	_, _ = z.Write(plain)                                 // memory takes everything
	_ = z.Close()
	return b.Bytes()
}
