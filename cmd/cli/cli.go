// Package cli is the command line of both programs: the console, the exit
// codes, the help and the version are the same in the two.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"github.com/fieldgate/fieldgate/systemd"
)

// The exit codes of every command (78 is EX_CONFIG of sysexits.h); see also
// ExitReaderGone.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
	ExitConfig = 78
)

// ErrUsage is in the error of a mistake on the command line that only the
// command can see.
var ErrUsage = errors.New("wrong use")

// A Console is what a command may write to.
type Console struct {
	Out io.Writer // results
	Err io.Writer // what people should know
}

// Stream is a stream to where Err ends, for what must never wait: Err itself
// in the program.
func (c Console) Stream() *systemd.Stream {
	if s, ok := c.Err.(*systemd.Stream); ok {
		return s
	}
	return systemd.NewStream(os.Stderr)
}

// A Program is one of the two programs.
type Program struct {
	Name    string
	Purpose string // in one sentence, for the help
	// Commands is a pointer to a struct with one field per command. The Run of
	// a command may take a context.Context, which SIGINT and SIGTERM end, and a
	// Console.
	Commands any
	// Code gives the exit code of an error that has one of its own, else 0.
	Code func(error) int
}

// Main runs the command line of this process, and ends the process.
func (p Program) Main() {
	live(func(ctx context.Context, c Console) int { return p.Run(ctx, os.Args[1:], c) })
}

// Run runs one command line and gives its exit code.
func (p Program) Run(ctx context.Context, args []string, c Console) int {
	exited := -1 // what kong would exit with, for --help
	parser, err := kong.New(p.Commands, kong.Name(p.Name), kong.Description(p.Purpose), kong.Writers(c.Out, c.Err),
		kong.ValueFormatter(Help), kong.Exit(func(code int) { exited = code }))
	if err != nil {
		return p.exit(err, c)
	}
	line, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if failed := outputError(c.Out); failed != nil { // of the help; kong takes it for a mistake
		return p.exit(failed, c)
	}
	if err != nil {
		fmt.Fprintf(c.Err, "%s: %v\nSee: %s --help\n", p.Name, err, p.Name)
		return ExitUsage
	}
	line.BindTo(ctx, (*context.Context)(nil))
	return p.exit(line.Run(p, c), c)
}

// exit reports an error on the console, once, and gives its exit code.
func (p Program) exit(err error, c Console) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrReaderGone):
		return ExitReaderGone
	}
	code := p.Code(err)
	if code == ExitConfig { // its lines begin with the name of the file
		fmt.Fprintln(c.Err, err)
		return code
	}
	fmt.Fprintf(c.Err, "%s: %v\n", p.Name, err)
	switch {
	case code != 0:
		return code
	case errors.Is(err, ErrUsage):
		return ExitUsage
	}
	return ExitFailed
}
