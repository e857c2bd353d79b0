// Package files says in words why a file or folder could not be used, and what
// to do: one table of the kernel's error numbers for all rooms. None of them
// proves damage; only a checksum does. What could not be opened is kept, and
// tried again.
package files
