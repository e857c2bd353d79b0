package identity

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway/files"
)

const (
	pendingFile   = "enrol.pending" // beside File, while an enrolment has not ended
	enrollWithin  = 30 * time.Second
	answerMost    = 64 << 10
	oncePrefix    = "fge1_"
	sameAnswerFor = "ten minutes"
)

// ErrUnreached is an enrolment that got no answer.
var ErrUnreached = errors.New("ask the cloud")

// An Enrolment exchanges a one-time token for this gateway's credential.
type Enrolment struct {
	URL         string // https:// or wss://, of the cloud; its path does not count
	Token       string // one-time, fge1_<gateway>_<32 hex>
	Certificate bool   // ask for a certificate, for a key that never leaves this board; else for a bearer token
	Dir         string // the state directory
	// Seed is that of Options: what it gives counts as taken over, and does
	// not take the place of what comes now.
	Seed   func() (string, error)
	Client *http.Client
}

// A pending is an enrolment that has begun: sent again, it is the same.
type pending struct {
	Token     string `json:"token_sha256"`
	InstallID string `json:"install_id"`
	CSR       string `json:"csr,omitempty"`
	Private   string `json:"private_key,omitempty"`
}

// Enroll asks the cloud and keeps its answer. If it fails, or power does, the
// same call within ten minutes gets the same answer: what was sent is kept
// until the credential is durable. The credential takes the place of an older
// one when the cloud has seen it used.
func (e Enrolment) Enroll(ctx context.Context) (Grant, error) {
	if !strings.HasPrefix(e.Token, oncePrefix) {
		return Grant{}, errors.New("this is not a one-time token: they begin with " + oncePrefix + " and are made by fieldgate-cloud token add")
	}
	to, err := e.address()
	if err != nil {
		return Grant{}, err
	}
	q, err := e.request()
	if err != nil {
		return Grant{}, err
	}
	body, err := json.Marshal(q)
	if err != nil {
		return Grant{}, fmt.Errorf("encode the request: %w", err)
	}
	answer, err := e.post(ctx, to, body)
	if err != nil {
		return Grant{}, err
	}
	// When it was issued, the first session tells: this board's clock may say anything.
	next, grant, err := q.key(answer, time.Time{})
	if err != nil {
		return grant, err
	}
	path := filepath.Join(e.Dir, File)
	held, err := load(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errDamaged) {
		return grant, err
	}
	if seed, err := e.seed(); err == nil && held.Seed != seedHash(seed) {
		held = contents{Seed: seedHash(seed), Keys: []key{{Token: strings.TrimSpace(seed)}}}
	}
	if len(held.Keys) > 0 && held.Keys[len(held.Keys)-1].same(next) {
		held.Keys = held.Keys[:len(held.Keys)-1] // the same answer again
	}
	held.Keys = append(held.Keys[:min(1, len(held.Keys))], next)
	if err := save(path, held); err != nil {
		return grant, err
	}
	_ = os.Remove(filepath.Join(e.Dir, pendingFile)) // of no use any more, and no harm
	return grant, nil
}

func (e Enrolment) seed() (string, error) {
	if e.Seed == nil {
		return "", fs.ErrNotExist
	}
	return e.Seed()
}

func (k key) same(o key) bool { return k.Token == o.Token && k.Certificate == o.Certificate }

// address gives where to ask.
func (e Enrolment) address() (string, error) {
	at, err := url.Parse(e.URL)
	switch {
	case err != nil || at.Hostname() == "":
		return "", errors.New("this is not the address of a cloud, such as https://cloud.example.com:8443")
	case at.Scheme != "https" && at.Scheme != "wss":
		return "", errors.New("the address of the cloud begins with https:// or wss://: the token must not cross the network unencrypted")
	case at.User != nil:
		return "", errors.New("the address of the cloud holds a user name; there is no use for it")
	}
	return (&url.URL{Scheme: "https", Host: at.Host, Path: "/v1/enroll"}).String(), nil
}

// request gives what to send: what was sent before with this token, or a new
// one, which is durable when it returns.
func (e Enrolment) request() (*request, error) {
	path := filepath.Join(e.Dir, pendingFile)
	sum := sha256.Sum256([]byte(e.Token))
	want := hex.EncodeToString(sum[:])
	var p pending
	text, err := files.Read(path, fileMost)
	if err == nil && json.Unmarshal(text, &p) == nil && p.Token == want && (p.CSR != "") == e.Certificate {
		return &request{Token: e.Token, InstallID: p.InstallID, CSR: p.CSR, private: p.Private}, nil
	}
	if t := files.TroubleOf(err); t != files.None && t != files.Missing && t != files.Shape {
		// It may hold what was sent with this token: with something else in its
		// place the cloud would refuse the answer that is still owed.
		return nil, fmt.Errorf("what was sent before cannot be read: %s: %w", files.Explain(path, err), err)
	}
	q, err := newRequest(e.Certificate)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // ends the process rather than fail
	q.Token, q.InstallID = e.Token, hex.EncodeToString(id[:])
	text, err = json.Marshal(pending{want, q.InstallID, q.CSR, q.private})
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return q, replace(path, text)
}

// post sends the request and reads the answer.
func (e Enrolment) post(ctx context.Context, to string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, enrollWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask the cloud: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := e.Client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; run the same command again: within %s it gets the same answer", ErrUnreached, err, sameAnswerFor)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerMost))
	if err != nil {
		return nil, fmt.Errorf("read the cloud's answer: %w; run the same command again: within %s it gets the same answer", err, sameAnswerFor)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp, answer, e.Token)
	}
	return answer, nil
}

// refusal tells what the cloud said, without the token.
func refusal(resp *http.Response, answer []byte, token string) error {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(answer, &said) != nil || said.Message == "" {
		return fmt.Errorf("what is there does not enrol gateways: it answers HTTP %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	message := strings.ReplaceAll(strings.Map(printable, said.Message), token, "***")
	return fmt.Errorf("the cloud refuses (HTTP %d): %.300s", resp.StatusCode, message)
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}
