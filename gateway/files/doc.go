// Package files is how both programs meet the files of others.
//
// It says in words why a file or folder could not be used, and what to do: one
// table of the kernel's error numbers for everything. None of them proves
// damage; only a checksum does. What could not be opened is kept, and tried
// again. It finds out whether a folder is kept without power.
//
// It reads the small files that people and other programs put in place:
// configurations, tokens, certificates, keys. Whatever stands at the path,
// reading it ends soon and takes little memory: only regular files are opened,
// and only up to a bound. Text comes in the forms that editors leave; what
// cannot be taken for certain is refused in words, never left out.
package files
