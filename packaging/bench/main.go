// Command bench measures fieldgate on this machine and prints one figure a
// line: <figure> <value> <unit>. It runs the programs that `make build` left
// in bin/.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	bin := flag.String("bin", "bin", "folder with fieldgate and fieldgate-cloud")
	flag.Parse()
	if err := run(*bin); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(bin string) error {
	for _, figures := range []func(bin string) error{
		appending, wearing, month, asking, sizes, starting, sampling, idling, draining, listening, ingesting,
	} {
		if err := figures(bin); err != nil {
			return err
		}
	}
	return nil
}

func print(figure string, value float64, unit string) {
	fmt.Printf("%s %.4g %s\n", figure, value, unit)
}

// printBeside prints a figure beside a peer's of the same run.
func printBeside(figure string, value float64, unit string, peer float64) {
	fmt.Printf("%s %.4g %s peer=%.4g ratio=%.3g\n", figure, value, unit, peer, value/peer)
}

// sizes tells how big the programs are. The one for arm64 is there after
// `make deb`.
func sizes(bin string) error {
	for name, path := range map[string]string{
		"binary-size-arm64": filepath.Join(bin, "linux-arm64", "fieldgate"),
		"binary-size-amd64": filepath.Join(bin, "fieldgate"),
	} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("look at the program: %w", err)
		}
		print(name, float64(info.Size())/1e6, "MB")
	}
	return nil
}
