package record

import (
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// AnchorOf gives an anchor as it was told on the wire.
func AnchorOf(a wire.Anchor) gateway.Anchor {
	return gateway.Anchor{Boot: a.Boot, From: gateway.Stamp(a.From), Offset: a.Offset, Quality: a.Quality, Error: gateway.Micros(a.ErrUS)}
}

// WireAnchor gives an anchor as the wire tells it.
func WireAnchor(a gateway.Anchor) wire.Anchor {
	return wire.Anchor{Boot: a.Boot, From: int64(a.From), Offset: a.Offset, Quality: a.Quality, ErrUS: a.Error.Microseconds()}
}
