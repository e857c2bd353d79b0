package gateway_test

import (
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
)

func TestParseProxy(t *testing.T) {
	for address, want := range map[string]gateway.Proxy{
		"http://proxy:3128":       {Scheme: "http", Host: "proxy:3128"},
		"http://proxy":            {Scheme: "http", Host: "proxy:80"},
		" http://proxy:/\n":       {Scheme: "http", Host: "proxy:80"},
		"https://u:p%40@proxy":    {Scheme: "https", Host: "proxy:443", User: "u", Password: "p@"},
		"socks5://[::1]:1080/":    {Scheme: "socks5", Host: "[::1]:1080"},
		"socks5://u:v:w@10.0.0.1": {Scheme: "socks5", Host: "10.0.0.1:1080", User: "u", Password: "v:w"},
	} {
		if got, err := gateway.ParseProxy(address); got != want || err != nil {
			t.Errorf("%q gives %+v, %v", address, got, err)
		}
	}
	long := strings.Repeat("secret", 50)
	for _, address := range []string{
		"", "proxy:3128", "ftp://proxy", "socks5h://proxy", "http://", "http://:3128", "http://p:1/x", "http://p/?q",
		"http://p#f", "http://u:secret\x00@p",
		"socks5://" + long + "@p", "http://u:" + long + "@p", "http://:secret@p", "http://u%3Asecret:x@p",
		"http://p:0", "http://p:65536", "http://p:x", "http://[::1", "//p:1",
	} {
		if got, err := gateway.ParseProxy(address); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q gives %+v, %v", address, got, err)
		}
	}
}
