// Command fieldgate-cloud is the reference server for gateways: it keeps what
// they send in a log on its own disk and serves it to operators.
package main

import (
	"errors"

	"github.com/fieldgate/fieldgate/cmd/cli"
)

// commands is what stands on the command line, one field per subcommand.
type commands struct {
	Run      runCmd             `cmd:"" help:"Serve gateways and operators until SIGTERM."`
	Gateway  gatewayCmd         `cmd:"" help:"Add, list and remove gateways. The server may run meanwhile."`
	Send     sendCmd            `cmd:"" help:"Send a command to a gateway."`
	Token    tokenCmd           `cmd:"" help:"One-time tokens with which gateways enroll."`
	Consumer consumerCmd        `cmd:"" help:"The consumers of the log: who still needs its records. List them, or forget one."`
	CopyLog  copyLogCmd         `cmd:"" help:"Copy the log, the ledger and the credentials of a stopped server to the cluster of --nats, and compare every record."`
	Version  cli.VersionCommand `cmd:"" help:"Print the version."`
}

func main() { commandLine().Main() }

func commandLine() cli.Program {
	return cli.Program{
		Name: "fieldgate-cloud", Purpose: "The server at the other end of the uplink of fieldgate gateways.",
		Commands: &commands{}, Code: exitCode,
	}
}

// exitCode gives the code of the outcome of a command, with send --wait.
func exitCode(err error) int {
	var ended *outcome
	if errors.As(err, &ended) {
		return ended.code
	}
	return 0
}
