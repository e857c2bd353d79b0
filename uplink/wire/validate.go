package wire

import (
	"encoding/json"
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
	return errors.Join(m.Lim.validate(), m.Win.validate(), validAcks(m.Epochs), validEventAck(m.Events))
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
	for _, has := range []bool{blocks > 0, len(m.Readings) > 0, m.Gap != nil, m.Thinned != nil, m.ThinnedRows != nil} {
		if has {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return errors.New("has more than one of blocks, readings, gap and thinned")
	case blocks > MaxBlocks:
		return fmt.Errorf("%d blocks, at most %d are allowed", blocks, MaxBlocks)
	case blocks > 0 && (m.N < blocks || m.N > blocks*MaxBlockN):
		return fmt.Errorf("n is %d with %d blocks", m.N, blocks)
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

func (m *Ack) validate() error {
	if len(m.Why) > 64 {
		return errors.New("why is longer than 64 bytes")
	}
	return errors.Join(validAcks(m.Epochs), validEventAck(m.Events), m.Win.validate())
}

func (m *Event) validate() error {
	switch {
	case m.Seq < 1, m.Seq > maxSeq:
		return fmt.Errorf("seq is %d", m.Seq)
	case !gateway.ValidID(string(m.Kind)):
		return fmt.Errorf("kind is %.40q", string(m.Kind))
	case m.Device != "" && !gateway.ValidID(m.Device):
		return fmt.Errorf("device_id is %.40q", m.Device)
	case len(m.Body) > MaxEventBody:
		return fmt.Errorf("body has %d bytes, at most %d are allowed", len(m.Body), MaxEventBody)
	case len(m.Body) > 0 && !json.Valid(m.Body):
		return errors.New("body is not JSON")
	}
	return validQuality(m.Anchor.Quality)
}

func (m *Status) validate() error { return nil }

func (m *Command) validate() error {
	switch {
	case !validCommandID(m.ID):
		return errors.New("id is not a text of 1 to 64 of A-Z a-z 0-9 _ -")
	case !gateway.ValidID(m.Device):
		return fmt.Errorf("device_id is %.40q", m.Device)
	case !gateway.ValidID(m.Action):
		return fmt.Errorf("action is %.40q", m.Action)
	case m.TTLMS < 0, m.TTLMS > MaxCommandTTL.Milliseconds():
		return fmt.Errorf("ttl_ms is %d, must be 0 to %d", m.TTLMS, MaxCommandTTL.Milliseconds())
	case m.LeaseMS < 0:
		return fmt.Errorf("lease_ms is %d", m.LeaseMS)
	case len(m.Args) > MaxEventBody:
		return fmt.Errorf("args have %d bytes, at most %d are allowed", len(m.Args), MaxEventBody)
	case len(m.Args) > 0 && !json.Valid(m.Args):
		return errors.New("args are not JSON")
	}
	return nil
}

func (m *Result) validate() error {
	switch {
	case !validCommandID(m.ID):
		return errors.New("id is not a text of 1 to 64 of A-Z a-z 0-9 _ -")
	case !gateway.ValidID(string(m.State)):
		return fmt.Errorf("state is %.40q", string(m.State))
	case len(m.Error) > 1024:
		return errors.New("error is longer than 1024 bytes")
	}
	return nil
}

// validCommandID: ids of commands become parts of subjects in the cloud.
func validCommandID(id string) bool { return gateway.ValidID(id) }

func (m *Config) validate() error {
	switch {
	case m.Ver < 1, m.Ver > maxSeq:
		return fmt.Errorf("ver is %d", m.Ver)
	case len(m.Hash) != 64:
		return errors.New("hash is not 64 hex digits")
	case m.ConfirmS < 0, m.ConfirmS > 86400:
		return fmt.Errorf("confirm_s is %d", m.ConfirmS)
	}
	return nil
}

func (m *Reported) validate() error {
	if m.State != "applied" && m.State != "rejected" && m.State != "rolled_back" {
		return fmt.Errorf("state is %.40q", m.State)
	}
	return nil
}

func (m *Drain) validate() error {
	if m.AfterMS < 0 || m.SpreadMS < 0 || len(m.Reason) > 256 || len(m.URL) > 1024 {
		return errors.New("drain is out of range")
	}
	return nil
}

func (m *Bye) validate() error {
	if m.NextS < 0 || len(m.Reason) > 256 {
		return errors.New("bye is out of range")
	}
	return nil
}

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
