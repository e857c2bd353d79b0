package cloud_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// Gateways made with other libraries say hello and send three updates, one of
// them twice; the log holds each reading once.
func TestForeignGateways(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	s.creds = keyring.Credentials{Dir: filepath.Join(s.dir, "gateways")}
	addr, trusted := s.serveTLS(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusted, DisableKeepAlives: true}}
	for _, library := range e2e.InteropLibraries() {
		t.Run(library, func(t *testing.T) {
			token, err := s.creds.Add(library)
			if err != nil {
				t.Fatal(err)
			}
			c := e2e.NewInteropClient(t, library, e2e.InteropTarget{URL: "wss://" + addr + "/v1/gateway",
				CA: filepath.Join(s.dir, keyring.CAFile), Token: token})
			ask := func(m wire.Message) wire.Message {
				t.Helper()
				text, err := wire.JSON.Encode(m)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := wire.JSON.Decode([]byte(c.Ask(t, string(text))))
				if err != nil {
					t.Fatal(err)
				}
				return answer
			}
			e := gateway.NewEpochID()
			welcome, ok := ask(&wire.Hello{GatewayID: library, BootID: gateway.BootID{1}, Software: "foreign/1",
				Epochs: []wire.HelloEpoch{{Epoch: e, Oldest: 1}}, All: true}).(*wire.Welcome)
			if !ok || !reflect.DeepEqual(welcome.Epochs, []wire.EpochAck{{Epoch: e}}) {
				t.Fatalf("welcome: %+v", welcome)
			}
			for _, first := range []uint64{1, 3, 3, 5} {
				u := &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: 2, Readings: []wire.Row{foreignRow(first), foreignRow(first + 1)}}
				ack, ok := ask(u).(*wire.Ack)
				if want := []wire.EpochAck{{Epoch: e, Upto: first + 1}}; !ok || !reflect.DeepEqual(ack.Epochs, want) {
					t.Errorf("from %d: %+v, want %+v", first, ack, want)
				}
			}
			c.End(t)
			if got := valuesOf(t, client, addr, library); !reflect.DeepEqual(got, []float64{1, 2, 3, 4, 5, 6}) {
				t.Errorf("the log holds %v", got)
			}
		})
	}
}

func foreignRow(seq uint64) wire.Row {
	v := float64(seq)
	return wire.Row{Device: "boiler", Quantity: "temperature", Value: &v, Unit: "Cel",
		Timestamp: 1_748_522_700_000_000 + wire.Time(seq)*1_000_000, Quality: "good", Time: "ntp"}
}

// valuesOf reads the values of a gateway's readings in the order of the log.
func valuesOf(t *testing.T, client *http.Client, addr, id string) (values []float64) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+"/v1/gateways/"+id+"/readings", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		var line struct{ Value *float64 }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Value == nil {
			t.Fatalf("%s (%v)", lines.Text(), err)
		}
		values = append(values, *line.Value)
	}
	return values
}
