package gateway_test

import (
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
)

func TestCheckToken(t *testing.T) {
	for token, want := range map[string]string{
		"0123456789abcdef":                   "",
		"0123456789abcde":                    "length is 15)",
		"":                                   "length is 0)",
		"x":                                  "length is 1)",
		"\u00fc\u00e4\u00f6\u00df":           "length is 4)", // 8 bytes
		"Schl\u00fcssel-zum-Kesselhaus+/=":   "",
		"two words of a token":               "U+0020",
		"0123456789abcdef\n0123456789abcdef": "U+000A",
		"\ufeff0123456789abcdef":             "U+FEFF",
		"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00": "U+0000",
		"0123456789abcdef\xff":                               "UTF-8",
	} {
		err := gateway.CheckToken(token)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", token, err, want)
		}
		if err != nil && len(token) > 1 && strings.Contains(err.Error(), token) {
			t.Errorf("the error tells the token: %v", err)
		}
	}
}
