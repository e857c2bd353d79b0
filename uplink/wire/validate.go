package wire

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
)

// The rules of this file are about envelopes that are well formed and still
// say nothing that can be true. What depends on a session (is this epoch
// known, is this seq next) is not checked here.

// errNoEpoch: an epoch is drawn at random; one of zeros was left out.
var errNoEpoch = errors.New("epoch is missing")

func (m *Hello) validate() error {
	if !gateway.ValidID(m.GatewayID) {
		return errors.New("gateway_id is not [A-Za-z0-9_-]{1,64}")
	}
	if len(m.Epochs) > MaxHelloEpochs {
		return fmt.Errorf("%d epochs, at most %d are allowed", len(m.Epochs), MaxHelloEpochs)
	}
	if len(m.Ends) > MaxHelloEpochs {
		return fmt.Errorf("%d ends, at most %d are allowed", len(m.Ends), MaxHelloEpochs)
	}
	if len(m.Software) > 128 {
		return errors.New("sw is longer than 128 bytes")
	}
	if m.Backlog.N > maxSeq || m.Backlog.Bytes > maxSeq || m.Clock.ErrMS < 0 {
		return errors.New("backlog or clock is out of range")
	}
	seen := make(map[gateway.EpochID]bool, len(m.Epochs))
	for _, e := range m.Epochs {
		if seen[e.Epoch] {
			return fmt.Errorf("epoch %s is named twice", e.Epoch)
		}
		seen[e.Epoch] = true
		if err := e.validate(); err != nil {
			return fmt.Errorf("epoch %s: %w", e.Epoch, err)
		}
	}
	return errors.Join(validQuality(m.Clock.Quality), validTime(m.Backlog.OldestTS), validCaps(m.Caps), m.Events.validate(), m.Cfg.validate())
}

func validCaps(caps []string) error {
	if len(caps) > maxCaps {
		return fmt.Errorf("%d caps, at most %d are allowed", len(caps), maxCaps)
	}
	for _, c := range caps {
		if !gateway.ValidID(c) {
			return fmt.Errorf("cap is %.40q", c)
		}
	}
	return nil
}

func (e *HelloEvents) validate() error {
	if e != nil && (e.Next < 1 || e.Next > maxSeq || e.Acked > maxSeq) {
		return fmt.Errorf("events next %d, acked %d are out of range", e.Next, e.Acked)
	}
	return nil
}

func (c *ConfigState) validate() error {
	if c != nil && (c.Ver > maxSeq || !validHash(c.Hash)) {
		return fmt.Errorf("cfg has ver %d and hash %.80q", c.Ver, c.Hash)
	}
	return nil
}

func (e HelloEpoch) validate() error {
	switch {
	case e.Epoch == (gateway.EpochID{}):
		return errNoEpoch
	case e.Growth > gateway.OpenEnded:
		return fmt.Errorf("closed is %d", e.Growth)
	case e.Last > maxSeq, e.Acked > maxSeq:
		return errors.New("seq is out of range")
	case e.Oldest < 1, e.Oldest > e.Last+1:
		return fmt.Errorf("oldest %d does not fit last %d", e.Oldest, e.Last)
	}
	return nil
}

func (m *Welcome) validate() error {
	switch {
	case m.Session == "", len(m.Session) > 64:
		return errors.New("session is not a text of 1 to 64 bytes")
	case !gateway.ValidID(string(m.Level)):
		return fmt.Errorf("level is %.40q", string(m.Level))
	case m.Gen > maxSeq:
		return fmt.Errorf("gen %d is out of range", m.Gen)
	case len(m.Epochs) > MaxHelloEpochs:
		return fmt.Errorf("%d epochs, at most %d are allowed", len(m.Epochs), MaxHelloEpochs)
	case m.HB.PingS < 0, m.HB.PingS > 3600, m.HB.Miss < 0, m.HB.Miss > 100:
		return fmt.Errorf("hb is out of range: %+v", m.HB)
	case m.SpreadS < 0, m.SpreadS > 86400, m.RetainS < 0, m.RetainS > 365*86400:
		return errors.New("spread_s or retain_s is out of range")
	}
	return errors.Join(validTime(m.Time), m.Lim.validate(), m.Win.validate(), validAcks(m.Epochs),
		validEventAck(m.Events), m.Cfg.validate(), validCaps(m.Caps))
}

func (w *Windows) validate() error {
	if w == nil {
		return nil
	}
	for _, one := range []Window{w.Ev, w.Live, w.Back} {
		if one.Msgs < 0 || one.Bytes < 0 || one.Msgs > 1<<16 || one.Bytes > 1<<30 {
			return fmt.Errorf("win is out of range: %+v", *w)
		}
	}
	return nil
}

func validEventAck(a *EventAck) error {
	if a != nil && a.Upto > maxSeq {
		return fmt.Errorf("events upto %d is out of range", a.Upto)
	}
	return nil
}

func (l Limits) validate() error {
	switch {
	case l.Msg != 0 && (l.Msg < MinMessage || l.Msg > MaxMessage),
		l.BlockN < 0, l.BlockN > MaxBlockN,
		l.BlockRaw < 0, l.BlockRaw > MaxBlockRaw,
		l.Rate < 0:
		return fmt.Errorf("lim is out of range: %+v", l)
	}
	return nil
}

func (m *Update) validate() error {
	if m.Lane != LaneLive && m.Lane != LaneBacklog {
		return fmt.Errorf("lane is %d", m.Lane)
	}
	if m.Epoch == (gateway.EpochID{}) {
		return errNoEpoch
	}
	if m.First < 1 || m.First > maxSeq || m.N > maxSeq-m.First {
		return fmt.Errorf("first %d with n %d is out of range", m.First, m.N)
	}
	if err := m.validContent(); err != nil {
		return err
	}
	if m.End == nil {
		return nil
	}
	return m.End.validate(m.First + m.N - 1)
}

// validContent checks that n readings are there as blocks, or stand as a
// thinned block or a gap, and that an update with none of these at least ends
// its epoch.
func (m *Update) validContent() error {
	blocks, kinds := uint64(len(m.Blocks)), 0
	for _, has := range []bool{blocks > 0, len(m.Readings) > 0, m.Gap != nil, len(m.Thinned) > 0, len(m.ThinnedRows) > 0, len(m.Packed) > 0} {
		if has {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return errors.New("has more than one of blocks, packed, readings, gap and thinned")
	case m.Thinned != nil && len(m.Thinned) == 0:
		return errors.New("has an empty thinned block")
	case m.Packed != nil && len(m.Packed) == 0:
		return errors.New("has an empty packed block")
	case len(m.Packed) > 0 && m.N > MaxBlockN, len(m.Packed) > MaxPacked:
		return fmt.Errorf("n is %d with a packed block of %d bytes", m.N, len(m.Packed))
	case blocks > MaxBlocks:
		return fmt.Errorf("%d blocks, at most %d are allowed", blocks, MaxBlocks)
	case blocks > 0 && (m.N < blocks || m.N > blocks*MaxBlockN):
		return fmt.Errorf("n is %d with %d blocks", m.N, blocks)
	case len(m.Readings) > MaxBlockN, len(m.ThinnedRows) > MaxBlockN:
		return fmt.Errorf("%d rows, at most %d are allowed", len(m.Readings)+len(m.ThinnedRows), MaxBlockN)
	case len(m.Readings) > 0 && m.N != uint64(len(m.Readings)):
		return fmt.Errorf("n is %d with %d readings", m.N, len(m.Readings))
	case blocks == 0 && kinds > 0 && m.N == 0:
		return errors.New("gap or thinned block of nothing")
	case kinds == 0 && (m.N > 0 || m.End == nil):
		return errors.New("has no blocks, gap, thinned block or end")
	}
	for _, b := range m.Blocks {
		if len(b) == 0 {
			return errors.New("has an empty block")
		}
	}
	if m.Gap != nil {
		return errors.Join(validWhy(m.Gap.Why), m.Gap.Anchor.validate())
	}
	return errors.Join(validRows(m.Readings), validThinned(m.ThinnedRows, m.N))
}

func (e *End) validate(last uint64) error {
	if e.Closed != nil {
		if *e.Closed != last {
			return fmt.Errorf("epoch closed at %d behind seq %d", *e.Closed, last)
		}
		return nil
	}
	if e.Anchor == nil {
		return errors.New("open end without anchor")
	}
	if e.AtMost > maxSeq {
		return fmt.Errorf("at_most %d is out of range", e.AtMost)
	}
	return errors.Join(validWhy(e.Why), e.Anchor.validate())
}

func (m *Ack) validate() error {
	if len(m.Why) > 64 {
		return errors.New("why is longer than 64 bytes")
	}
	if len(m.Epochs) > MaxHelloEpochs {
		return fmt.Errorf("%d epochs, at most %d are allowed", len(m.Epochs), MaxHelloEpochs)
	}
	return errors.Join(validAcks(m.Epochs), validEventAck(m.Events), m.Win.validate())
}

func (m *Event) validate() error {
	switch {
	case m.Epoch == (gateway.EpochID{}):
		return errNoEpoch
	case m.Seq < 1, m.Seq > maxSeq:
		return fmt.Errorf("seq is %d", m.Seq)
	case !gateway.ValidID(string(m.Kind)):
		return fmt.Errorf("kind is %.40q", string(m.Kind))
	case m.Device != "" && !gateway.ValidID(m.Device):
		return fmt.Errorf("device_id is %.40q", m.Device)
	case m.N > maxSeq:
		return fmt.Errorf("n %d is out of range", m.N)
	}
	return errors.Join(validInner("body", m.Body), m.Anchor.validate())
}

func (m *Nack) validate() error {
	switch {
	case m.Code == "", len(m.Code) > 32:
		return errors.New("code is not a text of 1 to 32 bytes")
	case m.First > maxSeq, m.N > maxSeq, m.Expected > maxSeq:
		return fmt.Errorf("first %d, n %d or expected %d is out of range", m.First, m.N, m.Expected)
	case m.Code == NackSeq && m.Expected < 1:
		return fmt.Errorf("expected is %d", m.Expected)
	case m.AfterMS < 0:
		return fmt.Errorf("after_ms is %d", m.AfterMS)
	}
	return nil
}

func (m *Ping) validate() error { return nil }
func (m *Pong) validate() error { return nil }

func (m *Error) validate() error {
	if len(m.Code) > 64 || len(m.Message) > 1024 || len(m.Ref) > 64 {
		return errors.New("error text is too long")
	}
	return nil
}

// ValidBody says what is wrong with the body of an event, or with a command's
// args: they must be JSON that can travel in both encodings (UTF-8, no key
// twice, at most 7 levels, MaxEventBody bytes).
func ValidBody(body json.RawMessage) error { return validInner("body", body) }

func validInner(what string, b json.RawMessage) error {
	if len(b) > MaxEventBody {
		return fmt.Errorf("%s has %d bytes, at most %d are allowed", what, len(b), MaxEventBody)
	}
	if len(b) == 0 {
		return nil
	}
	if err := scanInner(b); err != nil {
		return fmt.Errorf("%s %w", what, err)
	}
	return nil
}

func validTime(t Time) error {
	if t < minTime || t > maxTime {
		return fmt.Errorf("time %d is not of the years 1 to 9999", t)
	}
	return nil
}

// validHash takes the 64 hex digits of a SHA-256.
func validHash(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == 32
}

func (a Anchor) validate() error {
	if a.ErrUS < 0 {
		return fmt.Errorf("err_us is %d", a.ErrUS)
	}
	return validQuality(a.Quality)
}

func validAcks(acks []EpochAck) error {
	for _, a := range acks {
		if a.Upto > maxSeq {
			return fmt.Errorf("epoch %s: upto %d is out of range", a.Epoch, a.Upto)
		}
	}
	return nil
}

// validWhy takes reasons that this version does not know, but no prose.
func validWhy(w gateway.Why) error {
	if !gateway.ValidID(string(w)) {
		return fmt.Errorf("why is %.40q", string(w))
	}
	return nil
}

func validQuality(q gateway.ClockQuality) error {
	if q > gateway.ClockNTP {
		return fmt.Errorf("clock quality is %d", q)
	}
	return nil
}
