// Package keyring says who may connect: the credentials of gateways, one-time
// tokens and their exchange for a credential, and the certificates and
// authorities of one cloud. What it keeps lies in a folder, or in the KV that
// the servers of one cloud share.
package keyring
