package cloud

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A fullKV takes no documents.
type fullKV struct{ cloudtest.KV }

func (*fullKV) Put(context.Context, string, []byte, uint64, time.Duration) (uint64, error) {
	return 0, record.ErrUnavailable
}

// Who posts a command without an id and gets no answer to rely on is told the
// id that was drawn: posted again without it, the command could act twice.
func TestCommandThatWasNotKeptHasAnID(t *testing.T) {
	creds := keyring.Credentials{Dir: t.TempDir()}
	if _, err := creds.Add("g"); err != nil {
		t.Fatal(err)
	}
	s := inMemory(Options{Log: &cloudtest.Log{}, KV: &fullKV{}, PubSub: &cloudtest.PubSub{},
		Credentials: creds, OperatorToken: "operator",
		Logger: slog.New(slog.DiscardHandler)})
	for body, want := range map[string]string{
		`{"device_id":"valve","action":"set"}`:             `the id [A-Z2-7]{26},`,
		`{"device_id":"valve","action":"set","id":"mine"}`: `the id mine,`,
	} {
		r := httptest.NewRequest("POST", "/v1/gateways/g/commands", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer operator")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 503 || !regexp.MustCompile(want).MatchString(w.Body.String()) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}
