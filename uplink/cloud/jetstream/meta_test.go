package jetstream_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// TestMetaCutOff: a power cut may leave the files in which the embedded server
// describes a stream, or a consumer, empty or of two ages. Nothing stored
// depends on them: it is told once, and healed.
func TestMetaCutOff(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, stream string){
		"the checksum is an older one":  func(t *testing.T, dir string) { spoil(t, dir+"/meta.sum", "0123456789abcdef") },
		"the checksum is empty":         func(t *testing.T, dir string) { spoil(t, dir+"/meta.sum", "") },
		"the checksum is missing":       func(t *testing.T, dir string) { takeAway(t, dir+"/meta.sum") },
		"the description is empty":      func(t *testing.T, dir string) { spoil(t, dir+"/meta.inf", "") },
		"the description is torn":       func(t *testing.T, dir string) { spoil(t, dir+"/meta.inf", `{"name":"FG_`) },
		"the description is missing":    func(t *testing.T, dir string) { takeAway(t, dir+"/meta.inf") },
		"a consumer has no description": func(t *testing.T, dir string) { spoil(t, dir+"/obs/x/o.dat", "") },
		"a consumer has an empty one": func(t *testing.T, dir string) {
			spoil(t, dir+"/obs/x/meta.inf", "")
			spoil(t, dir+"/obs/x/meta.sum", "")
		},
		"a consumer has one and no checksum": func(t *testing.T, dir string) { spoil(t, dir+"/obs/x/meta.inf", `{"name":"x"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			reopen := func() (said string) {
				var told bytes.Buffer
				l, err := jetstream.Open(t.Context(), jetstream.Options{Dir: dir,
					Logger: slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelInfo}))})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { l.Close(); said = told.String() }()
				var last record.Record
				n := 0
				for r, err := range l.Read(t.Context(), "a", 0) {
					if err != nil {
						t.Fatal(err)
					}
					n, last = n+1, r
				}
				if n == 0 {
					newWriter(t, l).add("a", "a", "a")
				} else if n != 3 || last.ID != "a3" {
					t.Errorf("%d records, the last is %q", n, last.ID)
				}
				if _, err := l.Get(t.Context(), "k"); n > 0 && err != nil {
					t.Error(err)
				} else if n == 0 {
					if _, err := l.Put(t.Context(), "k", []byte("v"), 0, 0); err != nil {
						t.Fatal(err)
					}
				}
				return ""
			}
			reopen()
			streams, err := filepath.Glob(dir + "/jetstream/*/streams/*")
			if err != nil || len(streams) != 2 {
				t.Fatal(streams, err)
			}
			for _, s := range streams {
				damage(t, s)
			}
			if told := reopen(); !strings.Contains(told, "power") {
				t.Errorf("at first it is said\n%s", told)
			}
			for range 2 {
				if told := reopen(); told != "" {
					t.Errorf("later it is said\n%s", told)
				}
			}
		})
	}
}

func spoil(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func takeAway(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
