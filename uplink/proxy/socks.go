package proxy

import (
	"fmt"
	"io"
	"net"
	"strconv"
)

// What SOCKS5 says (RFC 1928) and its login (RFC 1929).
const (
	socksVersion  = 5
	socksNoLogin  = 0
	socksLogin    = 2
	socksConnect  = 1
	socksIPv4     = 1
	socksName     = 3
	socksIPv6     = 4
	socksLoginVer = 1
)

// socksReplies are the reasons of RFC 1928 section 6.
var socksReplies = map[byte]string{
	1: "general failure", 2: "not allowed by its rules", 3: "network unreachable", 4: "host unreachable",
	5: "connection refused", 6: "it took too long", 7: "command not supported", 8: "kind of address not supported",
}

// socks speaks SOCKS5. Names are resolved by the proxy: the gateway's own
// network may have no DNS.
func (p *proxy) socks(c net.Conn, host string) error {
	name, digits, err := net.SplitHostPort(host)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return fmt.Errorf("port %q: %w", digits, err)
	}
	if err := p.socksLogin(c); err != nil {
		return err
	}
	ask := []byte{socksVersion, socksConnect, 0}
	switch ip := net.ParseIP(name); {
	case ip.To4() != nil:
		ask = append(append(ask, socksIPv4), ip.To4()...)
	case ip != nil:
		ask = append(append(ask, socksIPv6), ip...)
	case len(name) > 255:
		return fmt.Errorf("a name of %d bytes", len(name))
	default:
		ask = append(append(ask, socksName, byte(len(name))), name...)
	}
	if _, err := c.Write(append(ask, byte(port>>8), byte(port))); err != nil {
		return err
	}
	return p.socksReply(c)
}

// socksLogin agrees on how to log in, and does.
func (p *proxy) socksLogin(c net.Conn) error {
	offer := []byte{socksVersion, 1, socksNoLogin}
	if p.User != "" {
		offer = []byte{socksVersion, 2, socksNoLogin, socksLogin}
	}
	if _, err := c.Write(offer); err != nil {
		return err
	}
	refused := &Error{Host: p.Host, Login: true, Given: p.User != ""}
	var chosen [2]byte
	if _, err := io.ReadFull(c, chosen[:]); err != nil {
		return err
	}
	switch {
	case chosen[0] != socksVersion:
		return ErrNoProxy
	case chosen[1] == socksNoLogin:
		return nil
	case chosen[1] != socksLogin || p.User == "":
		return refused
	}
	login := append([]byte{socksLoginVer, byte(len(p.User))}, p.User...)
	login = append(append(login, byte(len(p.Password))), p.Password...)
	if _, err := c.Write(login); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, chosen[:]); err != nil {
		return err
	}
	if chosen[1] != 0 {
		return refused
	}
	return nil
}

// socksReply reads the answer to the request, up to its last byte: what
// follows is the cloud's.
func (p *proxy) socksReply(c net.Conn) error {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	if head[0] != socksVersion {
		return ErrNoProxy
	}
	if head[1] != 0 {
		return &Error{Host: p.Host, Socks: head[1]}
	}
	rest := map[byte]int{socksIPv4: net.IPv4len, socksIPv6: net.IPv6len}[head[3]]
	if head[3] == socksName {
		var n [1]byte
		if _, err := io.ReadFull(c, n[:]); err != nil {
			return err
		}
		rest = int(n[0])
	}
	if rest == 0 {
		return ErrNoProxy
	}
	_, err := io.ReadFull(c, make([]byte, rest+2)) // address and port, of no use
	return err
}
