package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/fieldgate/fieldgate/gateway/files"
)

// tellVolatile says at the start when the state directory does not outlive a
// power cut. The log in it says "fsynced" of records that are gone then, and
// gateways give up what was acknowledged.
func tellVolatile(state string, log *slog.Logger) files.Keeping {
	keeping, why := files.Where(state)
	if keeping == files.Volatile {
		log.Error("the state directory is volatile: a power cut or a restart of this machine costs everything in it, "+
			"what gateways were told is stored too; "+
			"put --state on a disk", "state", state, "lies", why)
	}
	return keeping
}

// writeStateMetrics shows whether the state directory outlives a power cut: 1 if
// it does not.
func writeStateMetrics(w io.Writer, keeping files.Keeping) {
	volatile := 0
	if keeping == files.Volatile {
		volatile = 1
	}
	fmt.Fprintf(w, "fieldgate_cloud_state_volatile %d\n", volatile)
}
