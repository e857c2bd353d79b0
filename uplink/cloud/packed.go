package cloud

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// packEncoders are shared, because one keeps large tables.
var packEncoders = sync.Pool{New: func() any { return block.NewEncoder() }}

// unpack puts the block itself in the place of a packed one, and gives the
// envelope anew: what the log holds decodes alone. After one that cannot be
// unpacked no other of this session can, so the session ends.
func (x *session) unpack(u *wire.Update) ([]byte, error) {
	e := packEncoders.Get().(*block.Encoder)
	defer packEncoders.Put(e)
	b, err := x.unpacker.Unpack(u.Packed, e)
	if err != nil {
		x.remark(slog.LevelWarn, "a packed block cannot be read", "epoch", u.Epoch, "first", u.First, "error", err)
		return nil, &closing{wire.CloseUndecodable, "a packed block cannot be read"}
	}
	u.Packed, u.Blocks = nil, [][]byte{b}
	raw, err := wire.Encode(u)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return raw, nil
}
