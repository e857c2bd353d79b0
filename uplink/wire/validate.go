package wire

import (
	"errors"
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
)

// The rules of this file are about envelopes that are well formed and still
// say nothing that can be true. What depends on a session (is this epoch
// known, is this seq next) is not checked here.

func (m *Hello) validate() error {
	if !gateway.ValidID(m.GatewayID) {
		return errors.New("gateway_id is not [A-Za-z0-9_-]{1,64}")
	}
	if len(m.Epochs) > MaxHelloEpochs {
		return fmt.Errorf("%d epochs, at most %d are allowed", len(m.Epochs), MaxHelloEpochs)
	}
	if len(m.Software) > 128 {
		return errors.New("sw is longer than 128 bytes")
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
	return validQuality(m.Clock.Quality)
}

func (e HelloEpoch) validate() error {
	switch {
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
	case m.Level == "":
		return errors.New("level is missing")
	case m.HB.PingS < 0, m.HB.PingS > 3600, m.HB.Miss < 0, m.HB.Miss > 100:
		return fmt.Errorf("hb is out of range: %+v", m.HB)
	case m.SpreadS < 0, m.SpreadS > 86400, m.RetainS < 0, m.RetainS > 365*86400:
		return errors.New("spread_s or retain_s is out of range")
	}
	return errors.Join(m.Lim.validate(), validAcks(m.Epochs))
}

func (l Limits) validate() error {
	switch {
	case l.Msg != 0 && (l.Msg < MinMessage || l.Msg > MaxMessage),
		l.BlockN < 0, l.BlockN > MaxBlockN,
		l.BlockRaw < 0, l.BlockRaw > MaxBlockRaw:
		return fmt.Errorf("lim is out of range: %+v", l)
	}
	return nil
}

func (m *Update) validate() error {
	if m.Lane != LaneLive && m.Lane != LaneBacklog {
		return fmt.Errorf("lane is %d", m.Lane)
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
	for _, has := range []bool{blocks > 0, m.Gap != nil, m.Thinned != nil} {
		if has {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return errors.New("has more than one of blocks, gap and thinned")
	case blocks > MaxBlocks:
		return fmt.Errorf("%d blocks, at most %d are allowed", blocks, MaxBlocks)
	case blocks > 0 && (m.N < blocks || m.N > blocks*MaxBlockN):
		return fmt.Errorf("n is %d with %d blocks", m.N, blocks)
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
	if m.Gap == nil {
		return nil
	}
	return errors.Join(validWhy(m.Gap.Why), validQuality(m.Gap.Anchor.Quality))
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
	return errors.Join(validWhy(e.Why), validQuality(e.Anchor.Quality))
}

func (m *Ack) validate() error { return validAcks(m.Epochs) }

func (m *Nack) validate() error {
	switch {
	case m.Code == "", len(m.Code) > 32:
		return errors.New("code is not a text of 1 to 32 bytes")
	case m.Code == NackSeq && (m.Expected < 1 || m.Expected > maxSeq):
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
