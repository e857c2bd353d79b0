package cloudtest

import (
	"testing"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// What stands in for the log and its neighbours does what they do.
func TestMemoryConforms(t *testing.T) {
	t.Run("Log", func(t *testing.T) { TestLog(t, func(*testing.T) record.Log { return &Log{} }) })
	t.Run("KV", func(t *testing.T) { TestKV(t, func(*testing.T) record.KV { return &KV{} }) })
	t.Run("PubSub", func(t *testing.T) { TestPubSub(t, func(*testing.T) record.PubSub { return &PubSub{} }) })
}
