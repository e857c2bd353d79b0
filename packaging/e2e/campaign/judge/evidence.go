// Package judge decides from recorded evidence whether every reading is
// accounted for. It knows the programs from outside alone: what a gateway
// showed on site, what the cloud answered, how processes ended, and what was
// done to them. Evidence is a folder of files with one JSON object a line, so
// that a test can change a line and see the verdict change.
package judge

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The files of the evidence.
const (
	HeardFile  = "heard.ndjson"  // Heard
	LivesFile  = "lives.ndjson"  // Life
	ActsFile   = "acts.ndjson"   // Act
	ClaimsFile = "claims.ndjson" // Claim
	CloudFile  = "cloud.ndjson"  // Line: the cloud's log at the end
	StoresFile = "stores.ndjson" // Line: what `buffer export` gave of each card at the end
	RunFile    = "run.json"      // Run
)

// A Run says what was tried.
type Run struct {
	Seed     uint64        `json:"seed"`
	Asked    time.Duration `json:"asked"` // of faults
	Began    time.Time     `json:"began"`
	Ended    time.Time     `json:"ended"`
	Drained  bool          `json:"drained"` // at the end the cloud had all that the gateways held
	Undone   string        `json:"undone,omitempty"`
	Programs string        `json:"programs"`
	Boards   []Board       `json:"boards"`
}

// A Board is a gateway as it was set up.
type Board struct {
	Name     string  `json:"name"`
	Card     int64   `json:"card"` // bytes
	MinFree  string  `json:"min_free"`
	FlushS   float64 `json:"flush_s"`
	Rate     float64 `json:"rate"` // readings/s that it is set to take, at most
	Channels int     `json:"channels"`
}

// A Name identifies a reading for ever.
type Name struct {
	Gateway, Epoch string
	Seq            uint64
}

func (n Name) String() string { return fmt.Sprintf("%s/%.8s/%d", n.Gateway, n.Epoch, n.Seq) }

// A Heard is a reading that a board showed on /ws.
type Heard struct {
	At        time.Time `json:"at"` // when it was heard
	Board     string    `json:"board"`
	Life      int       `json:"life"`
	Gateway   string    `json:"gateway"`
	Device    string    `json:"device_id"`
	Quantity  string    `json:"quantity"`
	Value     *float64  `json:"value"`
	Timestamp time.Time `json:"timestamp"`
	Time      string    `json:"time"`
	Epoch     string    `json:"epoch"`
	Seq       uint64    `json:"seq"`
}

// Name is the reading's name.
func (h Heard) Name() Name { return Name{h.Gateway, h.Epoch, h.Seq} }

// The ways in which a life ends.
const (
	Stopped = "stop" // SIGTERM
	Killed  = "kill"
	CutOff  = "cut"  // with the power of the board
	Itself  = "self" // nobody told it to
)

// A Life is one process of a gateway.
type Life struct {
	Board   string        `json:"board"`
	Gateway string        `json:"gateway"`
	N       int           `json:"life"`
	Began   time.Time     `json:"began"`
	Ended   time.Time     `json:"ended"` // when it was told to, or seen to be gone
	Took    time.Duration `json:"took"`  // to end, once told
	How     string        `json:"how"`
	Code    int           `json:"code"`
	Spoke   bool          `json:"spoke"` // a reading was heard of it
	Waited  time.Duration `json:"waited"`
	Sound   bool          `json:"sound"`  // nothing was wrong with the card, from before it began until it ended
	Full    bool          `json:"full"`   // nothing but that others left no room on it
	Deaf    bool          `json:"deaf"`   // the card refused, or could not be used, from before it began until it ended
	Slot    bool          `json:"slot"`   // a journal was made on this card before, in a sound life
	Online  bool          `json:"online"` // when it was told to stop the cloud had all but the newest, and nothing stood in the way
	Window  float64       `json:"window"` // seconds: the largest loss window it told
	Stall   time.Duration `json:"stall"`  // the longest that this machine kept the campaign itself waiting
	Log     string        `json:"log,omitempty"`
}

// An Act is something that was done.
type Act struct {
	At     time.Time     `json:"at"`
	To     string        `json:"to"` // a board, "cloud", or "line NAME"
	What   string        `json:"what"`
	For    time.Duration `json:"for,omitempty"`
	Detail string        `json:"detail,omitempty"`
	Since  time.Time     `json:"since,omitzero"` // of old and restore: when the copy was made
}

// The acts that the judge looks at.
const (
	ActOld     = "older copy put back"
	ActClone   = "clone of the card runs beside it"
	ActRestore = "cloud restored from an older copy"
)

// A Claim is an answer of completeness while everything ran.
type Claim struct {
	At       time.Time  `json:"at"` // when it was asked
	Gateway  string     `json:"gateway_id"`
	From     *time.Time `json:"from"`
	To       *time.Time `json:"to"`
	Complete bool       `json:"complete"`
	Sentence string     `json:"sentence"`
	Epochs   []struct {
		Epoch       string `json:"epoch"`
		Upto        uint64 `json:"upto"`
		End         string `json:"end"`
		Undelivered bool   `json:"undelivered"`
	} `json:"epochs"`
	Final bool `json:"final,omitempty"` // asked when everything had been delivered
}

// A Line is one of the cloud's log, or of an export of a store.
type Line struct {
	Board     string    `json:"board,omitempty"` // of an export
	Type      string    `json:"type"`            // of an export also "verify": why is what that said
	Gateway   string    `json:"gateway_id"`
	Device    string    `json:"device_id"`
	Quantity  string    `json:"quantity"`
	Value     *float64  `json:"value"`
	Timestamp time.Time `json:"timestamp"`
	Time      string    `json:"time"`
	Epoch     string    `json:"epoch"`
	Seq       uint64    `json:"seq"`
	Kind      string    `json:"kind"`
	First     uint64    `json:"first"`
	From      uint64    `json:"from"`
	N         uint64    `json:"n"`
	Why       string    `json:"why"`
	Closed    *uint64   `json:"closed"`
	After     uint64    `json:"after"`
	AtMost    uint64    `json:"at_most"`
}

// Evidence is all of it.
type Evidence struct {
	Run    Run
	Heard  []Heard
	Lives  []Life
	Acts   []Act
	Claims []Claim
	Cloud  []Line
	Stores []Line
}

// Load reads a folder of evidence.
func Load(dir string) (Evidence, error) {
	var e Evidence
	text, err := os.ReadFile(filepath.Join(dir, RunFile))
	if err == nil {
		err = json.Unmarshal(text, &e.Run)
	}
	return e, errors.Join(err,
		lines(dir, HeardFile, &e.Heard), lines(dir, LivesFile, &e.Lives), lines(dir, ActsFile, &e.Acts),
		lines(dir, ClaimsFile, &e.Claims), lines(dir, CloudFile, &e.Cloud), lines(dir, StoresFile, &e.Stores))
}

func lines[T any](dir, name string, to *[]T) error {
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for d := json.NewDecoder(bufio.NewReader(f)); ; {
		var one T
		err := d.Decode(&one)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*to = append(*to, one)
	}
}
