// Command fieldgate-cloud is the reference server for gateways: it keeps what
// they send in a log on its own disk and serves it to operators.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"github.com/fieldgate/fieldgate/systemd"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// cli is the command line.
type cli struct {
	Run      runCmd      `cmd:"" help:"Serve gateways and operators until SIGTERM."`
	Gateway  gatewayCmd  `cmd:"" help:"Add, list and remove gateways; also while the server runs."`
	Send     sendCmd     `cmd:"" help:"Send a command to a gateway."`
	Token    tokenCmd    `cmd:"" help:"One-time tokens with which gateways enrol."`
	Consumer consumerCmd `cmd:"" help:"List those for whom the log waits before it deletes anything, and forget one."`
	CopyLog  copyLogCmd  `cmd:"" help:"Copy the log of a server that is stopped to a cluster of nats-server, and compare."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

func main() {
	systemd.Main(func(ctx context.Context, out *systemd.Output, errs *systemd.Stream) int {
		return run(ctx, os.Args[1:], out, errs)
	})
}

// run is the whole program; tests call it too.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	code := -1 // what kong would exit with, for --help
	parser, err := kong.New(&c,
		kong.Name("fieldgate-cloud"),
		kong.Description("The server at the other end of the uplink of fieldgate gateways."),
		kong.Writers(stdout, stderr),
		kong.ValueFormatter(systemd.Help),
		kong.Exit(func(n int) { code = n }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&output{stdout, stderr}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "fieldgate-cloud:", err)
		return exitFailed
	}
	k, err := parser.Parse(args)
	if code >= 0 {
		return code
	}
	failed := systemd.OutputError(stdout) // of the help; kong takes it for a mistake
	if err != nil && failed == nil {
		fmt.Fprintf(stderr, "fieldgate-cloud: %v (try fieldgate-cloud --help)\n", err)
		return exitUsage
	}
	if err = failed; err == nil {
		err = k.Run()
	}
	if errors.Is(err, systemd.ErrReaderGone) {
		return systemd.ExitReaderGone
	}
	if err != nil {
		fmt.Fprintln(stderr, "fieldgate-cloud:", err)
		var told *outcome
		switch {
		case errors.Is(err, errUsage):
			return exitUsage
		case errors.As(err, &told):
			return told.code
		}
		return exitFailed
	}
	return 0
}

// errUsage marks a mistake on the command line that only a command can see.
var errUsage = errors.New("wrong use")

// output is where a command writes: results, and what people should know.
type output struct{ stdout, stderr io.Writer }

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = ""

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(out *output) error {
	_, err := fmt.Fprintln(out.stdout, "fieldgate-cloud", programVersion())
	return err
}

// programVersion is the release's, else what the Go tool knows of the source.
func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		return info.Main.Version
	}
	return version
}
