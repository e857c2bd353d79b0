package config_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway/config"
)

func TestVersion(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "1:1: version: this key is missing: write version = 1",
		"version = 2":       "1:11: version: this program reads version 1 only, not 2",
		"version = \"1\"":   "1:11: version: this must be a whole number, not a string",
		"version = 1":       "",
		"\ufeffversion = 1": "",
	} {
		_, err := load(t, "f.toml", text)
		if got := strings.Join(lines(err), "\n"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// A line that is not TOML is told with its place, what it sets is not called
// missing, and reading goes on.
func TestSyntaxErrorsDoNotHideTheRest(t *testing.T) {
	_, err := load(t, "f.toml", `version = 1
[[device]]
id = "a
driver = "hostsys"
[[device]
id = "b"
[store]
dir = "/x" "/y"
history = [
  1,
max_size = "3"
`)
	want := []string{
		`3:8: not TOML: `, `5:9: not TOML: `, `8:12: not TOML: `, `11:1: not TOML: `, `11:12: store.max_size: "3" is not a size`,
	}
	got := lines(err)
	if len(got) != len(want) {
		t.Fatalf("got:\n%s", strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %q, want %q…", got[i], want[i])
		}
	}
}

func TestABrokenKeyIsNotMissing(t *testing.T) {
	_, err := load(t, "f.toml", "version = 1\n[[device]]\nid = \"a\ndriver = \"hostsys\"\n")
	if got := lines(err); len(got) != 1 || !strings.HasPrefix(got[0], "3:8: not TOML: ") {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
}

func TestConfD(t *testing.T) {
	const main = "version = 1\n[gateway]\nid = \"a\"\n[[device]]\nid = \"one\"\ndriver = \"hostsys\"\n"
	cfg, err := load(t, "f.toml", main,
		"conf.d/20.toml", "[[device]]\nid = \"three\"\ndriver = \"hostsys\"\n",
		"conf.d/10.toml", "[local]\nview = \"open\"\n[[device]]\nid = \"two\"\ndriver = \"hostsys\"\n",
		"conf.d/30.toml.bak", "rubbish")
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Devices) != 3 || cfg.Devices[1].ID != "two" || cfg.Devices[2].ID != "three" || cfg.Local.View != "open" {
		t.Errorf("got %+v", cfg)
	}
	_, err = load(t, "f.toml", main, "conf.d/10.toml", "[gateway]\nid = \"b\"\n[[device]]\nid = \"one\"\ndriver = \"hostsys\"\n",
		"conf.d/20.toml", "version = 1\n[[device.channel]]\nquantity = \"x\"\n")
	want := strings.Join([]string{
		"conf.d/10.toml:2:1: gateway.id: this is already set at f.toml:3",
		"conf.d/10.toml:4:6: device[one].id: the device at f.toml:5 has this name already",
		"conf.d/20.toml:1:1: version: this is already set at f.toml:1",
		"conf.d/20.toml:2:3: device: this is already set at f.toml:4",
	}, "\n")
	if got := strings.Join(lines(err), "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestAMissingFileIsNoProblemOfTheContents(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "none.toml"), table)
	var ps config.Problems
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &ps) {
		t.Errorf("got %v", err)
	}
}

// Secrets that somebody wrote into the wrong place must not reach a log.
func TestExcerptsHoldNoSecrets(t *testing.T) {
	_, err := load(t, "f.toml", "version = 1\n[uplink]\ntoken = \"hunter2\"\nurl = \"wss://me:hunter2@x/\"\n"+
		"\"api token\"=\"hunter2\"\nx = { password = 'hunter2' }\ntoken_file=\"a\"\n")
	if n := len(lines(err)); n != 5 {
		t.Fatalf("%d problems: %v", n, err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the secret is in %s", err)
	}
	if !strings.Contains(err.Error(), `token_file="a"`) {
		t.Errorf("a path is not a secret: %s", err)
	}
}
