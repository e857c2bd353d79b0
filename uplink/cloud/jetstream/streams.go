package jetstream

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	rawStream     = "FG_RAW"
	subjectPrefix = "fg.v1.raw.default."
	docPrefix     = "fg.v1.doc."
	docStream     = "FG_DOC"
	docsAtMost    = 1 << 30 // bytes of documents, or a twentieth of the space if that is less
)

// rawConfig is the log. Full must mean that publishing fails: then the
// readings stay on the gateways. So nothing here ever deletes a record; with
// DiscardNew a limit below what the stream holds does not either. Direct
// reads are off, for they may be answered by a server that lags behind.
func rawConfig(limit int64, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        rawStream,
		Subjects:    []string{subjectPrefix + "*"},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    limit,
		MaxMsgSize:  wire.MaxMessage,
		Duplicates:  2 * time.Minute,
		Replicas:    replicas,
		AllowDirect: false,
	}
}

// docConfig is the KV. The server leaves a trace of what it deletes at the
// end of its ttl, so that watchers learn of it.
func docConfig(limit int64, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                   docStream,
		Subjects:               []string{docPrefix + ">"},
		Storage:                jetstream.FileStorage,
		Retention:              jetstream.LimitsPolicy,
		Discard:                jetstream.DiscardNew,
		MaxBytes:               limit,
		MaxMsgsPerSubject:      1,
		MaxMsgSize:             wire.MaxMessage,
		Duplicates:             2 * time.Minute,
		Replicas:               replicas,
		AllowMsgTTL:            true,
		SubjectDeleteMarkerTTL: goneFor,
		AllowDirect:            false,
	}
}

// keeping gives the configuration of a stream as it is with what an ack rests
// on put right, or an error where that cannot be changed. Who runs the cluster
// decides on its limits, placement and the rest.
func keeping(have, want jetstream.StreamConfig, replicas int) (jetstream.StreamConfig, error) {
	switch {
	case have.Mirror != nil || len(have.Sources) > 0:
		return have, fmt.Errorf("stream %s copies another stream: end that first", have.Name)
	case have.Sealed:
		return have, fmt.Errorf("stream %s is sealed", have.Name)
	case have.Storage != want.Storage:
		return have, fmt.Errorf("stream %s is kept in memory, not in files", have.Name)
	case have.Retention != want.Retention:
		return have, fmt.Errorf("stream %s has the retention policy %s, want %s", have.Name, have.Retention, want.Retention)
	case have.PersistMode == jetstream.AsyncPersistMode:
		return have, fmt.Errorf("stream %s has the persist mode async: it would acknowledge what is not stored", have.Name)
	}
	have.Subjects, have.Discard, have.MaxAge, have.MaxMsgs = want.Subjects, want.Discard, 0, -1
	have.DiscardNewPerSubject, have.MaxMsgsPerSubject = false, want.MaxMsgsPerSubject
	have.MaxMsgSize, have.Duplicates, have.AllowDirect = want.MaxMsgSize, want.Duplicates, false
	have.AllowMsgTTL, have.SubjectDeleteMarkerTTL = want.AllowMsgTTL, want.SubjectDeleteMarkerTTL
	if have.MaxMsgsPerSubject == 0 {
		have.MaxMsgsPerSubject = -1
	}
	if replicas > 0 {
		have.Replicas = replicas
	}
	return have, nil
}
