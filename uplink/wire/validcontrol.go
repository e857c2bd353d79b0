package wire

import (
	"errors"
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
)

func (m *Status) validate() error {
	if len(m.Health) > MaxStatusList || len(m.Devices) > MaxStatusList || len(m.Figures) > MaxFigures {
		return fmt.Errorf("%d conditions, %d devices, %d figures: at most %d, %d and %d are allowed",
			len(m.Health), len(m.Devices), len(m.Figures), MaxStatusList, MaxStatusList, MaxFigures)
	}
	for _, c := range m.Health {
		if err := c.validate(); err != nil {
			return err
		}
	}
	for _, d := range m.Devices {
		if err := d.validate(); err != nil {
			return err
		}
	}
	for name, v := range m.Figures {
		if !gateway.ValidID(name) || !finite(&v) {
			return fmt.Errorf("figure %.80q is %v", name, v)
		}
	}
	return nil
}

func (c Condition) validate() error {
	switch {
	case !gateway.ValidID(c.Code), !gateway.ValidID(c.Severity):
		return fmt.Errorf("condition has code %.40q and severity %.40q", c.Code, c.Severity)
	case len(c.Subject) > 128, len(c.Sentence) > MaxText:
		return fmt.Errorf("condition %s has a text that is too long", c.Code)
	}
	return validTime(c.Since)
}

func (d StatusDevice) validate() error {
	if !gateway.ValidID(d.ID) {
		return fmt.Errorf("device is %.40q", d.ID)
	}
	if len(d.Channels) > MaxStatusList {
		return fmt.Errorf("device %s has %d channels, at most %d are allowed", d.ID, len(d.Channels), MaxStatusList)
	}
	for _, c := range d.Channels {
		if err := validRow(d.ID, c.Quantity, c.Unit); err != nil {
			return err
		}
	}
	return nil
}

func (m *Command) validate() error {
	switch {
	case !validCommandID(m.ID):
		return errors.New("id is not a text of 1 to 64 of A-Z a-z 0-9 _ -")
	case !gateway.ValidID(m.Device):
		return fmt.Errorf("device_id is %.40q", m.Device)
	case !gateway.ValidID(m.Action):
		return fmt.Errorf("action is %.40q", m.Action)
	case !finite(m.Value):
		return errors.New("value is not a number")
	case m.TTLMS < 0, m.TTLMS > MaxCommandTTL.Milliseconds():
		return fmt.Errorf("ttl_ms is %d, must be 0 to %d", m.TTLMS, MaxCommandTTL.Milliseconds())
	case m.LeaseMS < 0, m.LeaseMS > maxSeq/1_000_000:
		return fmt.Errorf("lease_ms is %d", m.LeaseMS)
	case m.Seq > maxSeq:
		return fmt.Errorf("seq %d is out of range", m.Seq)
	}
	return errors.Join(validTime(m.Expires), validInner("args", m.Args))
}

func (m *Result) validate() error {
	switch {
	case !validCommandID(m.ID):
		return errors.New("id is not a text of 1 to 64 of A-Z a-z 0-9 _ -")
	case !gateway.ValidID(string(m.State)):
		return fmt.Errorf("state is %.40q", string(m.State))
	case !finite(m.Value):
		return errors.New("value is not a number")
	case len(m.Error) > MaxText:
		return fmt.Errorf("error is longer than %d bytes", MaxText)
	}
	return validTime(m.At)
}

// validCommandID: ids of commands become parts of subjects in the cloud.
func validCommandID(id string) bool { return gateway.ValidID(id) }

func (m *Config) validate() error {
	switch {
	case m.Ver < 1, m.Ver > maxSeq:
		return fmt.Errorf("ver is %d", m.Ver)
	case !validHash(m.Hash):
		return errors.New("hash is not 64 hex digits")
	case len(m.Doc) > MaxConfigDoc:
		return fmt.Errorf("doc has %d bytes, at most %d are allowed", len(m.Doc), MaxConfigDoc)
	case m.ConfirmS < 0, m.ConfirmS > 86400:
		return fmt.Errorf("confirm_s is %d", m.ConfirmS)
	}
	return nil
}

func (m *Reported) validate() error {
	switch {
	case m.State != "applied" && m.State != "rejected" && m.State != "rolled_back":
		return fmt.Errorf("state is %.40q", m.State)
	case m.Ver > maxSeq, !validHash(m.Hash):
		return fmt.Errorf("ver is %d and hash is %.80q", m.Ver, m.Hash)
	case len(m.Errors) > MaxReportedErrors:
		return fmt.Errorf("%d errors, at most %d are allowed", len(m.Errors), MaxReportedErrors)
	}
	for _, text := range m.Errors {
		if len(text) > MaxText {
			return fmt.Errorf("an error is longer than %d bytes", MaxText)
		}
	}
	return nil
}

func (m *Drain) validate() error {
	if m.AfterMS < 0 || m.SpreadMS < 0 || m.AfterMS > maxDrainMS || m.SpreadMS > maxDrainMS {
		return fmt.Errorf("after_ms %d or spread_ms %d is out of range", m.AfterMS, m.SpreadMS)
	}
	if len(m.Reason) > 256 || len(m.URL) > MaxText {
		return errors.New("reason or url is too long")
	}
	return nil
}

func (m *Bye) validate() error {
	if m.NextS < 0 || m.NextS > maxSeq/1_000_000_000 || len(m.Reason) > 256 {
		return errors.New("bye is out of range")
	}
	return nil
}
