package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// forms are the checks of single strings, by the name in the form tag.
var forms = map[string]func(string) error{
	"id": checkID, "wss": checkURL, "path": checkPath, "listen": checkListen, "host": checkHost, "bus": checkBus,
	"proxy": checkProxy, "often": checkOften, "line": checkLine,
}

func checkID(s string) error {
	if !gateway.ValidID(s) {
		return fmt.Errorf("%q cannot be a name: use 1 to 64 of A-Z a-z 0-9 _ -", s)
	}
	return nil
}

// unencrypted is why an address is refused.
const unencrypted = ", because readings and the token would cross the network unencrypted: use wss://"

// checkURL repeats nothing of the URL: it may hold a password.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" && (u.Scheme == "wss" || u.Scheme == "ws"):
		return errors.New("this is not a URL of the form wss://HOST[:PORT]/PATH")
	case u.Scheme == "http":
		return errors.New("http:// is refused" + unencrypted)
	case u.Scheme != "wss" && u.Scheme != "ws": // see uplink: one setting allows ws://
		return errors.New("this must begin with wss://")
	case u.User != nil:
		return errors.New("a URL with a user name or password is refused, because URLs end up in logs: use token_file")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("a URL with ? or # is refused, because URLs end up in logs: a token belongs into token_file")
	}
	return nil
}

func checkLine(s string) error {
	if s == "" {
		return errors.New(`this must be the name of a GPIO line, such as "GPIO5"`)
	}
	return nil
}

func checkOften(s string) error {
	_, _, err := ParseOften(s)
	return err
}

// ParseOften reads how often something may happen at most: "1/10m" is once
// within ten minutes.
func ParseOften(s string) (n int, within time.Duration, err error) {
	bad := fmt.Errorf(`%q is not how often something may happen: write N/TIME, such as "1/10m" for once in ten minutes`, s)
	count, span, found := strings.Cut(s, "/")
	most, err := strconv.ParseUint(count, 10, 8)
	if !found || err != nil || most == 0 {
		return 0, 0, bad
	}
	if within, err = parseDuration(span); err != nil || within < time.Second || within > 365*day {
		return 0, 0, bad
	}
	return int(most), within, nil
}

func checkProxy(s string) error {
	_, err := gateway.ParseProxy(s)
	return err
}

func checkPath(s string) error {
	if !filepath.IsAbs(s) {
		return fmt.Errorf("%q must be an absolute path, beginning with /", s)
	}
	return nil
}

func checkListen(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf(`%q is not an address to listen on: write [HOST]:PORT, such as ":8080" or "127.0.0.1:8080"`, s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		return fmt.Errorf("%q is not a port number", port)
	}
	return nil
}

func checkHost(s string) error {
	if s == "" || strings.ContainsAny(s, "/: \t@?#") {
		return fmt.Errorf("%q is not a host name: write it without https://, port and path", s)
	}
	return nil
}

var (
	busName = regexp.MustCompile(`^(i2c|sim)-(0|[1-9][0-9]{0,2})(/0x7[0-7]/[0-7])?$`)
	spiName = regexp.MustCompile(`^(sim-)?spi-(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]?)$`)
)

// isSPI says whether the bus of that name is an SPI port.
func isSPI(bus string) bool { return spiName.MatchString(bus) }

func checkBus(s string) error {
	if !busName.MatchString(s) && !isSPI(s) {
		return fmt.Errorf("there is no bus %q: write i2c-N for /dev/i2c-N, i2c-N/0x70/C behind a multiplexer, "+
			"spi-N.C for /dev/spidevN.C, or sim-N or sim-spi-N.C for a simulated one", s)
	}
	return nil
}
