package local

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// Clients of other makes see the status and the readings, and are told what
// they did wrong.
func TestForeignClients(t *testing.T) {
	o, _ := options()
	_, addr := start(t, o)
	publish(o.Hub, 1, 20.5)
	for _, library := range e2e.InteropLibraries() {
		t.Run(library, func(t *testing.T) {
			c := e2e.NewInteropClient(t, library, e2e.InteropTarget{URL: "ws://" + addr + "/ws"})
			until := func(say, prefix string) {
				t.Helper()
				for heard := c.Ask(t, say); !strings.HasPrefix(heard, prefix); heard = c.Ask(t, "") {
					if !json.Valid([]byte(heard)) {
						t.Fatalf("heard %q", heard)
					}
				}
			}
			until("", `{"type":"status","gateway_id":"plant-7"`)
			until("", updateOf(20.5))
			until(`{"type":"teleport","id":"é-1"}`, `{"type":"error","code":"unknown_type"`)
			until("no JSON", `{"type":"error","code":"malformed"`)
			c.End(t)
		})
	}
}
