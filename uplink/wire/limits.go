package wire

// What a message may hold at most. Both sides check before they allocate.
const (
	MaxMessage     = 1 << 20   // bytes, hard; NATS' max_payload
	DefaultMessage = 256 << 10 // bytes, unless welcome says otherwise
	MaxHelloEpochs = 256
	MaxBlockN      = 65536   // readings in a block
	MaxBlockRaw    = 1 << 20 // bytes of a block after decompression
)

// Close codes, with what they ask of the gateway (RFC 6455 section 7.4 for
// those below 4000).
const (
	CloseUndecodable  = 4400 // undecodable or out-of-order messages: back off
	CloseUnauthorised = 4401 // credential invalid: try again in minutes
	CloseForbidden    = 4403 // revoked, not enrolled, or not this gateway: try again in minutes
	CloseNoHello      = 4408 // no hello in time, or a reader too slow: back off
	CloseSuperseded   = 4409 // a newer session of the same gateway took over: wait 30 s
	CloseConflict     = 4410 // one identity used from two places: wait, alarm
	CloseVersion      = 4426 // this version is no longer served: back off slowly, alarm
	CloseTooMuch      = 4429 // rate or window exceeded: back off as told
)
