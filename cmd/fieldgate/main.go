// Command fieldgate is the gateway daemon and its command line tools.
package main

import (
	"errors"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway/config"
)

// commands is what stands on the command line, one field per subcommand; each
// has a file of its own.
type commands struct {
	Run     runCommand         `cmd:"" help:"Run the gateway (this is what the systemd unit does)."`
	Status  statusCommand      `cmd:"" help:"Say how the gateway is that runs on this board: devices, cloud, store, clock, what is wrong."`
	Read    readCommand        `cmd:"" help:"Read a device now, and say its value or why there is none."`
	Scan    scanCommand        `cmd:"" help:"Look what is connected to this board, and print it as configuration. Changes nothing."`
	Check   checkCommand       `cmd:"" help:"Check the configuration: every problem at once, with line and column."`
	Demo    demoCommand        `cmd:"" help:"Run a gateway with simulated chips, and a cloud beside it, on this machine."`
	Buffer  bufferCommand      `cmd:"" help:"Look into the store of a gateway that is stopped, or into a copy of it."`
	Verify  verifyCommand      `cmd:"" hidden:"" name:"verify-state" help:"Look at a state.db."`
	Enroll  enrollCommand      `cmd:"" help:"Exchange a one-time token for the credential of this gateway."`
	Version cli.VersionCommand `cmd:"" help:"Print the version."`
}

func main() { commandLine().Main() }

func commandLine() cli.Program {
	return cli.Program{
		Name: "fieldgate", Purpose: "Edge gateway for Raspberry Pi-class boards: accounts for every reading.",
		Commands: &commands{}, Code: exitCode,
	}
}

// exitCode tells the errors of a configuration from all others.
func exitCode(err error) int {
	var problems config.Problems
	if errors.As(err, &problems) {
		return cli.ExitConfig
	}
	return 0
}
