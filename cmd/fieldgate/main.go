// Command fieldgate is the gateway daemon and its command line tools.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/systemd"
)

// Set by the linker; see the Makefile.
var (
	version = "dev"
	built   = "" // seconds since 1970
)

// The exit codes of every subcommand (78 is EX_CONFIG of sysexits.h).
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitConfig = 78
)

// commands is what stands on the command line, one field per subcommand; each
// has a file of its own.
type commands struct {
	Run     runCommand     `cmd:"" help:"Run the gateway (this is what the systemd unit does)."`
	Check   checkCommand   `cmd:"" help:"Check the configuration: every problem at once, with line and column."`
	Demo    demoCommand    `cmd:"" help:"Run a gateway with simulated chips and a cloud beside it, on this machine."`
	Buffer  bufferCommand  `cmd:"" help:"Look into the store of a gateway that is stopped, or into a copy of it."`
	Verify  verifyCommand  `cmd:"" hidden:"" name:"verify-state" help:"Look at a state.db."`
	Enroll  enrollCommand  `cmd:"" help:"Exchange a one-time token for this gateway's credential."`
	Version versionCommand `cmd:"" help:"Say which version this is."`
}

// console is what a subcommand may write to.
type console struct {
	out, err io.Writer
}

// stream is a stream to where err ends, for what must never wait: err itself in the program.
func (c console) stream() *systemd.Stream {
	if s, ok := c.err.(*systemd.Stream); ok {
		return s
	}
	return systemd.NewStream(os.Stderr)
}

func main() {
	systemd.Main(func(ctx context.Context, out *systemd.Output, errs *systemd.Stream) int {
		return mainExit(ctx, os.Args[1:], console{out, errs})
	})
}

// mainExit runs one command line and gives its exit code.
func mainExit(ctx context.Context, args []string, c console) int {
	var cmds commands
	exited := -1
	parser, err := kong.New(&cmds, kong.Name("fieldgate"), kong.Description("Edge gateway for Raspberry Pi-class boards: accounts for every reading."),
		kong.Writers(c.out, c.err), kong.Exit(func(code int) { exited = code }), kong.UsageOnError(), kong.ValueFormatter(systemd.Help))
	if err != nil {
		fmt.Fprintln(c.err, "fieldgate:", err)
		return exitFailed
	}
	line, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if failed := systemd.OutputError(c.out); failed != nil { // of the help; kong takes it for a mistake
		return exitCode(failed, c)
	}
	if err != nil {
		fmt.Fprintf(c.err, "fieldgate: %v\nSee: fieldgate --help\n", err)
		return exitUsage
	}
	line.BindTo(ctx, (*context.Context)(nil))
	return exitCode(line.Run(c), c)
}

// exitCode tells an error on the console, once, and gives its exit code.
func exitCode(err error, c console) int {
	var problems config.Problems
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, systemd.ErrReaderGone):
		return systemd.ExitReaderGone
	case errors.As(err, &problems):
		fmt.Fprintln(c.err, err)
		return exitConfig
	default:
		fmt.Fprintln(c.err, "fieldgate:", err)
		return exitFailed
	}
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(c console) error {
	_, err := fmt.Fprintln(c.out, "fieldgate", version)
	return err
}

// buildTime is when this program was built: the clock cannot be earlier. It
// is zero for a program built without the Makefile.
func buildTime() time.Time {
	s, err := strconv.ParseInt(built, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(s, 0)
}
