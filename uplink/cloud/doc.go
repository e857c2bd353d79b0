// Package cloud is the reference server at the other end of the uplink: it
// opens sessions, stores what gateways send in a log before it acknowledges,
// and reads that log for operators.
//
// What is durable is only in the Log: a Server can be killed at any moment and
// another started in its place; each session begins by reading the newest
// record of its gateway. That record carries the whole resume state, so there
// is nothing to recover and nothing that could contradict the log.
//
// The life of an update: the session's reading goroutine takes it off the
// WebSocket, decodes the envelope and queues it (intake); its storing
// goroutine judges the range by the state (judge), makes blocks of rows
// (asBlocks), decodes the blocks (checkBlocks), appends the envelope to the
// gateway's chain (chain.append), notifies the parts, and has an ack pending, which
// it sends for several updates together (acks.go). What is not contiguous or does not
// decode is refused before anything is stored. Events go the same way.
//
// A chain has one append under way at a time, and a session is the only writer
// of its chain: whoever opens another fences it off. So two servers need not
// know of each other; they do only to end sooner what cannot go on (takeovers.go).
//
// What a Server answers:
//
//	GET /v1/gateway                 WebSocket of gateways; bearer token fg1_<id>_<64 hex digits>
//	GET /v1/gateways                operator: every gateway, its session and epochs, as JSON
//	GET /v1/gateways/{id}/readings  operator: one JSON object per line, or CSV, in the order of the log;
//	                                ?from= ?to= RFC 3339 or -24h, ?epoch=, ?from_seq= ?to_seq=, ?device= ?quantity=, ?format=
//	GET /v1/gateways/{id}/events    operator: events alone
//	GET /v1/gateways/{id}/completeness  operator: is it complete from ?from= to ?to= (RFC 3339, or -24h), with
//	                                every gap and its reason; ?epoch= one epoch only
//	GET /v1/audit                   operator: who was refused, enrolled, rotated, revoked, taken for another
//	POST /v1/enroll                 a one-time token, exchanged for a credential
//	POST /v1/credentials/rotate     a credential, exchanged for the next one
//	GET /metrics                    operator: metrics in Prometheus' text format, none of them of one gateway
//	GET /healthz, /readyz           the process runs; the log takes records and the server takes sessions
//
// Operators show their token as "Authorization: Bearer …". A line of readings
// without a type is a reading; type gap stands for readings that will never
// come, type thinned for those of which summaries are left; type end says how
// an epoch ended; type event is an event. A stream of lines that breaks off is
// not ended properly (chunked encoding), so that it never looks complete.
package cloud
