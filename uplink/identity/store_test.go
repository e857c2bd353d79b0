package identity

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var quiet = slog.New(slog.DiscardHandler)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A book is what a cloud knows of one gateway: the rules of the protocol's
// section on credentials, in ten lines.
type book struct {
	present, next string
	given         int
}

func (b *book) accepts(token string) bool {
	if token == b.next && token != "" {
		b.present, b.next = b.next, ""
	}
	return token == b.present
}

func (b *book) exchange(token string) ([]byte, bool) {
	if !b.accepts(token) {
		return nil, false
	}
	b.given++
	b.next = fmt.Sprintf("fg1_g_%d", b.given)
	answer, _ := json.Marshal(Grant{GatewayID: "g", Token: b.next})
	return answer, true
}

// Whatever is exchanged, cut short, not written or refused by mistake: the
// cloud always accepts one of what the gateway holds, and within three tries
// it is that which is shown.
func TestNeverWithoutAValidCredential(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		seeded := func() (string, error) { return "fg1_g_0", nil }
		open := func() *Store { return New(Options{Dir: dir, Seed: seeded, Rotate: time.Hour, Log: quiet}) }
		b := &book{present: "fg1_g_0"}
		k, now := open(), start
		shown := ""
		settle := func() {
			for range 3 {
				token, _, err := k.Show()
				if err != nil {
					rt.Fatal(err)
				}
				shown = token
				if b.accepts(token) {
					k.Accepted(now)
					return
				}
				k.Refused()
			}
			rt.Fatalf("the cloud knows %q and %q; the gateway shows %q", b.present, b.next, shown)
		}
		settle()
		rt.Repeat(map[string]func(*rapid.T){
			"time":    func(*rapid.T) { now = now.Add(40 * time.Minute) },
			"connect": func(*rapid.T) { settle() },
			"power":   func(*rapid.T) { k = open() },
			"used, and power": func(*rapid.T) { // the cloud has seen it, the gateway did not note that
				token, _, _ := k.Show()
				b.accepts(token)
				k = open()
			},
			"refused by mistake": func(*rapid.T) {
				_, _, _ = k.Show()
				k.Refused()
			},
			"exchange": func(rt *rapid.T) {
				settle()
				body, err := k.Renew(now, false)
				if err != nil {
					rt.Fatal(err)
				}
				if body == nil {
					return
				}
				answer, ok := b.exchange(shown)
				if !ok {
					rt.Fatal("not accepted")
				}
				switch rapid.IntRange(0, 3).Draw(rt, "fate") {
				case 0: // the answer is lost
				case 1: // power fails before it is written
					k = open()
				case 2: // the card refuses it
					whole := k.o.Dir
					k.o.Dir = filepath.Join(dir, "gone")
					if k.Renewed(answer, now) == nil {
						rt.Fatal("took what it could not write")
					}
					k.o.Dir = whole
				default:
					if err := k.Renewed(answer, now); err != nil {
						rt.Fatal(err)
					}
				}
			},
			"": func(rt *rapid.T) {
				held, err := load(filepath.Join(dir, File))
				if err != nil || len(held.Keys) == 0 || len(held.Keys) > 2 {
					rt.Fatalf("%+v, %v", held, err)
				}
				for _, one := range held.Keys {
					if one.Token == b.present || one.Token == b.next {
						return
					}
				}
				rt.Fatalf("the cloud knows %q and %q, the card %+v", b.present, b.next, held.Keys)
			},
		})
		settle()
	})
}

func TestCredentialFromSeed(t *testing.T) {
	dir := t.TempDir()
	seed, seedErr := "", error(fs.ErrNotExist)
	k := New(Options{Dir: dir, Seed: func() (string, error) { return seed, seedErr }, Rotate: time.Hour, Log: quiet})
	if _, _, err := k.Show(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with nothing: %v", err)
	}
	seed, seedErr = "fg1_g_a\n", nil
	wants := func(want string) {
		t.Helper()
		if token, _, err := k.Show(); token != want || err != nil {
			t.Errorf("shows %q, %v, want %q", token, err, want)
		}
	}
	wants("fg1_g_a")
	k.Accepted(start)
	// Exchanged once, the seed does not come back …
	if body, err := k.Renew(start.Add(2*time.Hour), false); string(body) != "{}" || err != nil {
		t.Fatalf("%s, %v", body, err)
	}
	if err := k.Renewed([]byte(`{"gateway_id":"g","token":"fg1_g_b"}`), start.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	wants("fg1_g_b")
	k.Accepted(start.Add(2 * time.Hour))
	wants("fg1_g_b")
	if body, _ := k.Renew(start.Add(150*time.Minute), false); body != nil {
		t.Error("exchanged again after half an hour")
	}
	k = New(k.o) // … not after a restart either, nor without the file
	wants("fg1_g_b")
	seedErr = fs.ErrNotExist
	wants("fg1_g_b")
	// Another seed is what an operator means.
	seed, seedErr = "fg1_g_c", nil
	wants("fg1_g_c")
	// A damaged file is no reason to be without one.
	if err := os.WriteFile(filepath.Join(dir, File), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	wants("fg1_g_c")
	if err := os.WriteFile(filepath.Join(dir, File), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	seedErr = fs.ErrNotExist
	if _, _, err := k.Show(); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "enrol") {
		t.Errorf("damaged, without a seed: %v", err)
	}
}

// What others may read is not used, and the sentence says what to do.
func TestOthersMayRead(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o644, 0o610} {
		dir := t.TempDir()
		path := filepath.Join(dir, File)
		if err := save(path, contents{Keys: []key{{Token: "fg1_g_secret"}}}); err != nil {
			t.Fatal(err)
		}
		k := New(Options{Dir: dir, Log: quiet})
		if token, _, err := k.Show(); token != "fg1_g_secret" || err != nil {
			t.Fatalf("%q, %v", token, err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		token, _, err := k.Show()
		if err == nil || token != "" || !strings.Contains(err.Error(), "chmod 600 "+path) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%o: %q, %v", mode, token, err)
		}
	}
}

// A certificate that ended is exchanged also when the cloud did not answer the
// first time: once in every round of tries, not in a loop.
func TestEndedCertificateIsExchangedLater(t *testing.T) {
	dir := t.TempDir()
	q, err := newRequest(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := save(filepath.Join(dir, File), contents{
		Keys: []key{{Certificate: selfSigned(t, q.private), Private: q.private, Issued: start, NotAfter: start.Add(time.Hour)}},
	}); err != nil {
		t.Fatal(err)
	}
	k := New(Options{Dir: dir, Log: quiet})
	for after, want := range map[time.Duration]bool{39 * time.Minute: false, 41 * time.Minute: true} {
		if _, _, err := k.Show(); err != nil {
			t.Fatal(err)
		}
		if body, err := k.Renew(start.Add(after), false); (body != nil) != want || err != nil {
			t.Errorf("after %v of an hour: %s, %v", after, body, err)
		}
	}
	for round := range 3 {
		for try, want := range []bool{true, false} {
			if _, cert, err := k.Show(); cert == nil || err != nil {
				t.Fatal(err)
			}
			if again := k.Refused(); again != want {
				t.Fatalf("round %d, try %d: again %v", round, try, again)
			}
			if !want {
				continue
			}
			if body, err := k.Renew(start.Add(2*time.Hour), true); body == nil || err != nil {
				t.Fatalf("round %d: %s, %v", round, body, err)
			} // the answer is lost
		}
	}
}

// Another program (fieldgate enroll) puts a credential in place while the daemon
// runs: it is shown, whatever became of those before.
func TestAnotherProgramWasHere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, File)
	k := New(Options{Dir: dir, Rotate: time.Hour, Log: quiet})
	puts := func(tokens ...string) {
		t.Helper()
		c := contents{}
		for _, one := range tokens {
			c.Keys = append(c.Keys, key{Token: one, Issued: start})
		}
		if err := save(path, c); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(want string) {
		t.Helper()
		if token, _, err := k.Show(); token != want || err != nil {
			t.Errorf("shows %q, %v, want %q", token, err, want)
		}
	}
	puts("fg1_g_a", "fg1_g_b")
	wants("fg1_g_b")
	k.Refused()
	wants("fg1_g_a") // the present one has its turn
	puts("fg1_g_a", "fg1_g_c")
	wants("fg1_g_c")
	puts("fg1_g_a")
	wants("fg1_g_a")
	if body, err := k.Renew(start.Add(2*time.Hour), false); body == nil || err != nil {
		t.Fatalf("%s, %v", body, err)
	}
	k.o.Dir = filepath.Join(dir, "gone")
	if k.Renewed([]byte(`{"gateway_id":"g","token":"fg1_g_d"}`), start.Add(2*time.Hour)) == nil {
		t.Error("took what it could not write")
	}
	k.o.Dir = dir
	puts("fg1_g_e")
	wants("fg1_g_e")
}

// A card that refuses the credential gets it when it works again.
func TestCardThatRefusesTheCredential(t *testing.T) {
	dir := t.TempDir()
	k := New(Options{Dir: filepath.Join(dir, "gone"), Seed: func() (string, error) { return "fg1_g_a", nil }, Log: quiet})
	for range 2 {
		if token, _, err := k.Show(); token != "fg1_g_a" || err != nil {
			t.Fatalf("%q, %v", token, err)
		}
		k.Accepted(start)
	}
	k.o.Dir = dir
	k.Accepted(start)
	if held, err := load(filepath.Join(dir, File)); err != nil || len(held.Keys) != 1 || held.Keys[0].Token != "fg1_g_a" {
		t.Errorf("the card has %+v, %v", held, err)
	}
}

func selfSigned(t *testing.T, private string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(private))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	own := parsed.(*ecdsa.PrivateKey)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: start, NotAfter: start.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &own.PublicKey, own)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestAnswersThatAreNone(t *testing.T) {
	for _, certificate := range []bool{false, true} {
		q, err := newRequest(certificate)
		if err != nil {
			t.Fatal(err)
		}
		for _, answer := range []string{
			"", "null", "{}", `{"token":"secret"}`, `{"token":"fg1_a b"}`, `{"certificate":"secret"}`, `{"token":7}`,
		} {
			if _, _, err := q.key([]byte(answer), start); err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", answer, err)
			}
		}
	}
}
