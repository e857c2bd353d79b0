// Package uplink is the device's end of the line to the cloud: it dials,
// resumes where the cloud's own word says, sends what the store has, and comes
// back after every kind of failure without hammering.
//
// Trust is only in acks. A successful write proves nothing, an open connection
// proves nothing; what the cloud says it holds is what it holds, also when
// that is less than yesterday.
//
// Goroutines: Run's own is the only writer of the WebSocket and owns all state
// of a session; beside it a session has one reader and one goroutine that
// waits for the store. Both are joined before the next try and before Run
// returns, so the store may be closed then.
package uplink
