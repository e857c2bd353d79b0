package jetstream_test

import (
	"testing"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// The engine does what the log, KV and PubSub in memory do, on which most tests
// of the server stand.
func TestJetStreamConforms(t *testing.T) {
	fresh := func(t *testing.T) *jetstream.Log { return open(t, jetstream.Options{Dir: t.TempDir()}) }
	t.Run("Log", func(t *testing.T) { cloudtest.TestLog(t, func(t *testing.T) record.Log { return fresh(t) }) })
	t.Run("KV", func(t *testing.T) { cloudtest.TestKV(t, func(t *testing.T) record.KV { return fresh(t) }) })
	t.Run("PubSub", func(t *testing.T) { cloudtest.TestPubSub(t, func(t *testing.T) record.PubSub { return fresh(t) }) })
}
