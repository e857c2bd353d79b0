// Package identity keeps what a gateway shows to its cloud: a bearer token or
// a certificate with its key, in one file of the state directory.
//
// The file is only ever replaced whole (a temporary file, fsync, rename, fsync
// of the folder), so power may fail at any time. While a credential is
// exchanged for the next there are two in it. If power fails
//
//   - before the file with both is there: the cloud's next one was never used,
//     the present one is valid, and the exchange begins anew;
//   - before the next one was shown: it is shown after the restart;
//   - after the cloud took it, before this was noted: it is shown again.
//
// A refused one is put behind the other, never thrown away: which of the two
// the cloud knows is certain only when it has welcomed one. So a gateway that
// had a valid credential never ends without it.
package identity
