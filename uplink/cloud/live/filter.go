package live

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fieldgate/fieldgate/gateway"
)

const maxFilter = 256 // words in one list of a filter

// A Filter is what a client wants to hear; empty lists are everything.
type Filter struct{ Gateways, devices, quantities []string }

// ParseFilter reads ?gateway=, ?device= and ?quantity=, each as often as one
// likes.
func ParseFilter(raw string) (*Filter, error) {
	q, err := gateway.Query(raw, "gateway*", "device*", "quantity*")
	if err != nil {
		return nil, err
	}
	f := &Filter{q["gateway"], q["device"], q["quantity"]}
	for _, id := range f.Gateways {
		if !gateway.ValidID(id) { // they become parts of subjects
			return nil, fmt.Errorf("gateway %.40q is no gateway_id: 1 to 64 of A-Z a-z 0-9 _ -", id)
		}
	}
	for _, list := range [][]string{f.Gateways, f.devices, f.quantities} {
		if len(list) > maxFilter {
			return nil, errors.New("a filter has more than 256 words")
		}
		for _, word := range list {
			if !gateway.ValidID(word) {
				return nil, fmt.Errorf("%.80q can be no gateway, device or quantity: 1 to 64 of A-Z a-z 0-9 _ -", word)
			}
		}
	}
	return f, nil
}

func (f *Filter) gateway(id string) bool {
	return len(f.Gateways) == 0 || slices.Contains(f.Gateways, id)
}

func (f *Filter) series(ch *gateway.Channel) bool {
	return (len(f.devices) == 0 || slices.Contains(f.devices,
		ch.Device)) && (len(f.quantities) == 0 || slices.Contains(f.quantities, ch.Quantity))
}
