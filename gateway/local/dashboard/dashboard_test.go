package dashboard_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway/local/dashboard"
)

// get asks a file, with headers as pairs.
func get(f *dashboard.File, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, f.Path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func files(t *testing.T) []*dashboard.File {
	t.Helper()
	all, err := dashboard.Files()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFirstLoadIsSmall(t *testing.T) {
	total, requests := 0, 0
	for _, f := range files(t) {
		if f.Path == "/assets/licenses.txt" {
			continue // asked for by a click only
		}
		requests++
		total += get(f, "Accept-Encoding", "gzip").Body.Len()
	}
	t.Logf("%d requests, %d bytes gzipped", requests, total)
	if requests > 6 || total > 60<<10 {
		t.Errorf("%d requests and %d bytes, want at most 6 and 60 KiB", requests, total)
	}
}

func TestGzipHoldsTheSameAsPlain(t *testing.T) {
	for _, f := range files(t) {
		plain, packed := get(f), get(f, "Accept-Encoding", "gzip, br")
		z, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := io.ReadAll(z)
		if err != nil || !bytes.Equal(unpacked, plain.Body.Bytes()) || len(unpacked) == 0 {
			t.Errorf("%s: gzip gives %d bytes (%v), plain %d", f.Path, len(unpacked), err, plain.Body.Len())
		}
		if plain.Header().Get("Content-Encoding") != "" || packed.Header().Get("ETag") == plain.Header().Get("ETag") {
			t.Errorf("%s: plain and gzip cannot be told apart by a cache", f.Path)
		}
		if plain.Header().Get("Content-Type") == "" {
			t.Errorf("%s has no media type", f.Path)
		}
	}
}

func TestUnchangedFilesAreNotSentAgain(t *testing.T) {
	for _, f := range files(t) {
		first := get(f)
		if again := get(f, "If-None-Match", first.Header().Get("ETag")); again.Code != http.StatusNotModified {
			t.Errorf("%s: %d, want 304", f.Path, again.Code)
		}
		if first.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s may be shown without asking whether it changed", f.Path)
		}
	}
}

var local = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

func TestPageLoadsOnlyWhatIsEmbedded(t *testing.T) {
	have := map[string]bool{}
	var page string
	for _, f := range files(t) {
		have[strings.TrimPrefix(f.Path, "/")] = true
		if f.Path == "/" {
			page = get(f).Body.String()
		}
	}
	links := local.FindAllStringSubmatch(page, -1)
	if len(links) < 3 {
		t.Fatalf("found only %q in the page", links)
	}
	for _, m := range links {
		if !have[m[1]] {
			t.Errorf("the page loads %s, which is not embedded", m[1])
		}
	}
}

// The committed page is what its sources make.
func TestDistIsWhatTheSourcesMake(t *testing.T) {
	out, err := exec.Command("go", "run", "-C", "../../../packaging/tools", "./dashboard", "-check").CombinedOutput()
	if err == nil {
		return
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && strings.Contains(string(out), "exit status 3") && os.Getenv("CI") != "true" {
		t.Skip("SKIPPED: npm or the page's libraries cannot be had here")
	}
	t.Errorf("%v\n%s", err, out)
}
