package gateway

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// A Proxy is who makes connections in the place of a gateway.
type Proxy struct {
	Scheme         string // "http", "https" (both by CONNECT), "socks5"
	Host           string // host:port
	User, Password string // "": no login
}

var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080"}

// ParseProxy reads the address of a proxy: http://, https:// or socks5://,
// USER:PASSWORD@ if it wants a login, HOST, and :PORT unless it is the usual
// one. It is the one rule for the configuration, for what a file holds, and
// for who dials. The error repeats nothing of the address: it may hold a
// password.
func ParseProxy(address string) (Proxy, error) {
	at, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil || at.Hostname() == "":
		return Proxy{}, errors.New("this is not the address of a proxy, such as http://HOST:3128, https://HOST:3129 or socks5://HOST:1080")
	case proxyPorts[at.Scheme] == "":
		return Proxy{}, errors.New("a proxy must begin with http://, https:// or socks5://")
	case strings.Trim(at.Path, "/") != "" || at.RawQuery != "" || at.Fragment != "":
		return Proxy{}, errors.New("the address of a proxy ends with its port")
	}
	p := Proxy{Scheme: at.Scheme, User: at.User.Username()}
	p.Password, _ = at.User.Password()
	port := at.Port()
	if port == "" {
		port = proxyPorts[at.Scheme]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case len(p.User) > 255 || len(p.Password) > 255: // RFC 1929 section 2
		return Proxy{}, errors.New("user and password of a proxy have at most 255 bytes each")
	case p.User == "" && p.Password != "":
		return Proxy{}, errors.New("the address of a proxy has a password and no user before it")
	case p.Scheme != "socks5" && strings.Contains(p.User, ":"): // RFC 7617 section 2
		return Proxy{}, errors.New("the user of an HTTP proxy cannot hold a colon")
	case err != nil || n == 0:
		return Proxy{}, errors.New("the port of a proxy is a number from 1 to 65535")
	}
	p.Host = net.JoinHostPort(at.Hostname(), port)
	return p, nil
}
