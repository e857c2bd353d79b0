package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/config"
)

const (
	mainFile  = "version = 1\n"
	extraFile = "[[device]]\nid = \"board\"\ndriver = \"hostsys\"\n"
)

// board makes a folder with a configuration and conf.d/extra.toml beside it.
func board(t *testing.T, name string) (file, confd string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	confd = filepath.Join(dir, "conf.d")
	err := os.MkdirAll(confd, 0o755)
	file = filepath.Join(dir, "fieldgate.toml")
	for path, text := range map[string]string{file: mainFile, filepath.Join(confd, "extra.toml"): extraFile} {
		err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return file, confd
}

// What editors, desktops and network shares leave beside a file does not stop
// a gateway, whatever it is.
func TestHiddenFilesOfConfD(t *testing.T) {
	file, confd := board(t, "b")
	at := func(name string) string { return filepath.Join(confd, name) }
	junk := []byte("\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
	err := errors.Join(os.Symlink("root@pi.1:1", at(".#extra.toml")), unix.Mkfifo(at(".fifo.toml"), 0o600), os.Mkdir(at(".git.toml"), 0o700))
	for _, name := range []string{
		"._extra.toml", ".extra.toml.swp", ".extra.toml", ".DS_Store", "#extra.toml#", "#extra.toml", "~$extra.toml",
		"extra.toml~", "extra.toml.bak",
		"extra.toml.dpkg-dist", "4913", ".~lock.extra.toml#", ".nfs0000000000000001.toml", "README", "desktop.ini",
	} {
		err = errors.Join(err, os.WriteFile(at(name), junk, 0o000))
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, table)
	if err != nil || len(cfg.Devices) != 1 || len(cfg.Notes) != 0 {
		t.Errorf("%v", err)
	}
}

// A name is a name, whatever a pattern would make of it.
func TestFoldersWithOddNames(t *testing.T) {
	for _, name := range []string{"a[1]", "a[", "a*b", "a?", `a\b`, "a{b,c}", "a b", "ä", ".hidden", "-"} {
		file, confd := board(t, name)
		if err := os.WriteFile(filepath.Join(confd, "a[2]*?.toml"), []byte("[gateway]\nid = \"here\"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file, table)
		if err != nil || len(cfg.Devices) != 1 || cfg.Gateway.ID != "here" {
			t.Errorf("%s: conf.d was left out: %v, %v", name, cfg, err)
		}
	}
}

// What stands in the place of a file is refused, and nothing waits for it.
func TestWhatIsNoFileOfConfD(t *testing.T) {
	for name, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"FIFO":          {func(p string) error { return unix.Mkfifo(p, 0o600) }, "is a FIFO"},
		"folder":        {func(p string) error { return os.Mkdir(p, 0o700) }, "is a folder"},
		"device":        {func(p string) error { return os.Symlink("/dev/zero", p) }, "is a device"},
		"dangling link": {func(p string) error { return os.Symlink("nowhere", p) }, "nowhere is not there"},
		"UTF-16":        {func(p string) error { return os.WriteFile(p, []byte("\xff\xfe[\x00a\x00]\x00"), 0o600) }, "UTF-16"},
		"huge": {func(p string) error {
			return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 1<<40))
		}, "too large"},
	} {
		for _, place := range []string{"fieldgate.toml", "conf.d/more.toml"} {
			file, _ := board(t, "b")
			path := filepath.Join(filepath.Dir(file), place)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			_, err := config.Load(file, table)
			var ps config.Problems
			if !errors.As(err, &ps) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s as %s: %v", name, place, err)
			}
		}
	}
}

// conf.d that is there and cannot be read is never the same as none.
func TestConfDThatCannotBeRead(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"file":          func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"dangling link": func(p string) error { return os.Symlink("nowhere", p) },
		"FIFO":          func(p string) error { return unix.Mkfifo(p, 0o600) },
	} {
		file, confd := board(t, "b")
		if err := errors.Join(os.RemoveAll(confd), make(confd)); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(file, table); err == nil || !strings.Contains(err.Error(), "conf.d") {
			t.Errorf("%s: %v", name, err)
		}
	}
	file, confd := board(t, "b")
	if err := os.RemoveAll(confd); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(file, table); err != nil {
		t.Errorf("without conf.d: %v", err)
	}
	if _, err := config.Load(filepath.Join(confd, "none.toml"), table); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
}

// A name that looks as if it counted is told.
func TestUpperCaseInConfD(t *testing.T) {
	file, confd := board(t, "b")
	if err := os.WriteFile(filepath.Join(confd, "EXTRA.TOML"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, table)
	if err != nil || len(cfg.Notes) != 1 || !strings.Contains(cfg.Notes[0].Message, "EXTRA.TOML is not read") {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestTextAsEditorsLeaveIt(t *testing.T) {
	for name, text := range map[string]string{
		"byte order mark": "\xef\xbb\xbf" + mainFile, "CRLF": "version = 1\r\n[gateway]\r\nid = \"a\"\r\n", "no new line": "version = 1",
	} {
		if _, err := load(t, "f.toml", text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := load(t, "f.toml", "version = 1\n# \xe9\n")
	if err == nil || !strings.Contains(err.Error(), "line 2 holds bytes of another encoding") {
		t.Errorf("latin-1: %v", err)
	}
	_, err = load(t, "f.toml", "\xef\xbb\xbfversion = 1\nx = 1\n")
	if got := lines(err); len(got) != 1 || got[0] != "2:1: x: no such key" {
		t.Errorf("behind a byte order mark: %q", got)
	}
}

// A key that was taken away is a note for one release; one in the wrong table
// is told where it belongs.
func TestKeysInTheWrongTable(t *testing.T) {
	cfg, err := load(t, "f.toml", "version = 1\n[local]\nencoding = \"json\"\nunacknowledged = true\n")
	if err != nil || len(cfg.Notes) != 2 {
		t.Fatalf("%+v, %v", cfg, err)
	}
	for _, n := range cfg.Notes {
		if !strings.Contains(n.Message, "[uplink]") || n.Line == 0 {
			t.Errorf("%v", n)
		}
	}
	if cfg.Uplink.Encoding != "cbor" || cfg.Uplink.Unacknowledged {
		t.Error("a key of [local] had an effect on [uplink]")
	}
	for text, want := range map[string]string{
		"url = \"wss://a/\"":                         "2:1: url: no such key here; it belongs into [uplink]",
		"[local]\nurl = \"wss://a/\"":                "3:1: local.url: no such key here; it belongs into [uplink]",
		"[store]\ntoken_file = \"/a\"":               "3:1: store.token_file: no such key here; it belongs into [uplink] or [local]",
		"[uplink]\ndir = \"/a\"":                     "3:1: uplink.dir: no such key here; it belongs into [store]",
		"interval = \"1s\"":                          "2:1: interval: no such key here; it belongs into [[device]]",
		"[local]\ndeadband = 1":                      "3:1: local.deadband: no such key here; it belongs into [[device.channel]]",
		"[uplink.store]\ndir = \"/a\"":               "2:9: uplink.store: no such key here; it belongs into a table of its own, [store]",
		"[[channel]]\nquantity = \"a\"":              "2:3: channel: no such key here; it belongs into a table of its own, [[device.channel]]",
		"[[device]]\nid = \"a\"\nlisten = \":8080\"": "4:1: device[a].listen: no such key here; it belongs into [local]",
	} {
		_, err := load(t, "f.toml", "version = 1\n"+text+"\n")
		if got := strings.Join(lines(err), "\n"); !strings.Contains(got, want) {
			t.Errorf("%q gives %s, want %s", text, got, want)
		}
	}
}

// What check passes is what the dialler takes, and nothing else.
func TestProxyIsCheckedByTheRuleOfWhoDials(t *testing.T) {
	for _, address := range []string{
		"http://p:3128", "https://u:secret@p", "socks5://[::1]", "http://p:0", "http://p:65536", "socks5://" + strings.Repeat("u", 256) + "@p",
		"http://:secret@p", "http://u%3Ax:secret@p", "ftp://p", "p:3128", "http://p/x",
	} {
		_, rule := gateway.ParseProxy(address)
		_, err := load(t, "f.toml", "version = 1\n[uplink]\nproxy = \""+address+"\"\n")
		if (rule == nil) != (err == nil) || rule != nil && !strings.Contains(err.Error(), rule.Error()) ||
			err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %v", address, err, rule)
		}
	}
}
