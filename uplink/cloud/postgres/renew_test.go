package postgres_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// door listens where a database is looked for, and ends every connection.
func door(t *testing.T) (address string, came <-chan bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	knocks := make(chan bool, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
			select {
			case knocks <- true:
			default:
			}
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	return fmt.Sprintf("host=127.0.0.1 port=%d user=plant dbname=d sslmode=disable", port), knocks
}

// The address is read anew before each connection. One that cannot be used is
// told once, and the one before it is used until there is another.
func TestAddressIsReadAnew(t *testing.T) {
	t.Parallel() // it waits for the pauses between tries
	first, atFirst := door(t)
	second, atSecond := door(t)
	file := filepath.Join(t.TempDir(), "address")
	put := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	comes := func(where string, came <-chan bool) {
		t.Helper()
		select {
		case <-came:
		case <-time.After(e2e.Patience):
			t.Fatalf("nobody comes to the %s address", where)
		}
	}
	put(first, 0o600)
	_, book := runLogged(t, nil, "@"+file)
	comes("first", atFirst)
	put(second, 0o604) // everybody may read it
	told := func() int { return strings.Count(book.String(), "what was there before is used") }
	for late := time.After(e2e.Patience); told() == 0; {
		select {
		case <-late:
			t.Fatalf("that the address cannot be used is not told:\n%s", book)
		case <-atFirst:
		case <-time.After(20 * time.Millisecond):
		}
	}
	comes("first", atFirst)
	put(second, 0o600)
	comes("second", atSecond)
	if n := told(); n != 1 {
		t.Errorf("that the address cannot be used is told %d times:\n%s", n, book)
	}
}
