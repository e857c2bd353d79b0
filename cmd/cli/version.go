package cli

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"time"
)

// Set by the linker; see the Makefile.
var (
	version = ""
	built   = "" // seconds since 1970
)

// A VersionCommand prints the version of the program.
type VersionCommand struct{}

// Run prints the version.
func (VersionCommand) Run(p Program, c Console) error {
	_, err := fmt.Fprintln(c.Out, p.Name, Version())
	return err
}

// Version is that of the release; else what the Go tool knows of the source;
// else "dev".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// Built is when this program was built: the clock cannot be earlier. It is
// zero for a program built without the Makefile.
func Built() time.Time {
	s, err := strconv.ParseInt(built, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(s, 0)
}
