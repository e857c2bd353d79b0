// Command campaign runs the real programs through faults at random: three
// gateways and a cloud, each on a card that forgets or tears what was not
// flushed, over lines that fail. An observer writes down what each gateway
// shows on site, and a judge who knows the programs only from outside decides
// whether every reading is accounted for.
//
//	campaign -bin DIR -seconds 180 [-seed N] [-page FILE] [-evidence DIR]
//	campaign -judge DIR [-page FILE]
//
// It needs root, for FUSE, loop devices and mounts; all of them live in a
// mount namespace of its own, and go with it however it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
)

type options struct {
	bin, page, evidence, judge, note string
	seconds                          int
	seed                             uint64
	shown                            int
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == hostWord {
		fail(becomeHost(os.Args[2:]))
	}
	var o options
	flag.StringVar(&o.bin, "bin", "../../../bin", "folder with fieldgate and fieldgate-cloud")
	flag.IntVar(&o.seconds, "seconds", 180, "how long faults are made; healing and draining come after it")
	flag.Uint64Var(&o.seed, "seed", 0, "which faults; 0: other ones each time")
	flag.StringVar(&o.page, "page", "", "page to write about it")
	flag.StringVar(&o.evidence, "evidence", "", "folder in which the evidence stays; without it, it stays only after a fault")
	flag.StringVar(&o.judge, "judge", "", "only judge the evidence in this folder")
	flag.StringVar(&o.note, "note", "", "a sentence for the page about what was run")
	flag.IntVar(&o.shown, "shown", 10, "faults of each rule that are printed")
	flag.Parse()
	switch {
	case o.judge != "":
		fail(o.conclude(o.judge))
	case os.Getenv(insideWord) == "":
		os.Exit(inside())
	default:
		fail(o.campaign())
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "campaign:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// insideWord tells the process that it has a mount namespace of its own.
const insideWord = "CAMPAIGN_INSIDE"

// inside runs the campaign in a mount namespace of its own. When its last
// process has ended, the kernel unmounts and detaches everything.
func inside() int {
	self, err := os.Executable()
	if err != nil {
		fail(err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideWord+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		fail(fmt.Errorf("make a mount namespace (root is needed): %w", err))
	}
	go func() { // ends with this process
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// campaign makes the faults, ends them, collects the evidence and judges.
func (o options) campaign() error {
	debug.SetMemoryLimit(1 << 30)
	if o.seed == 0 {
		o.seed = rand.Uint64() >> 32
	}
	fmt.Printf("campaign: %d s of faults, seed %d\n", o.seconds, o.seed)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "campaign-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w, err := newTestbed(o, dir)
	if err != nil {
		return err
	}
	err = w.live(ctx)
	w.clear()
	if err = errors.Join(err, w.evidence.close()); err == nil {
		err = o.conclude(w.evidence.dir)
	}
	if err != nil && o.evidence == "" {
		o.evidence = filepath.Join(os.TempDir(), fmt.Sprintf("campaign-%d", o.seed))
	}
	if o.evidence != "" {
		kept := errors.Join(os.RemoveAll(o.evidence), exec.Command("cp", "-r", w.evidence.dir, o.evidence).Run(), w.keepLogs(o.evidence))
		if kept != nil {
			return errors.Join(err, kept)
		}
		fmt.Println("campaign: the evidence is in", o.evidence)
	}
	return err
}

// conclude judges and writes the page.
func (o options) conclude(dir string) error {
	e, err := judge.Load(dir)
	if err != nil {
		return err
	}
	v := judge.Judge(e)
	tried, unseen := judge.Try(e)
	if o.page != "" {
		if err := os.WriteFile(o.page, []byte(page(e, v, tried, o.note)), 0o644); err != nil {
			return err
		}
	}
	fmt.Print(summary(e, v))
	for _, rule := range judge.Rules {
		faults := v.Of(rule)
		for i, f := range faults {
			if i == o.shown {
				fmt.Printf("FAULT %s: and %d more\n", rule, len(faults)-i)
				break
			}
			fmt.Printf("FAULT %s: %s\n", rule, f.Text)
		}
	}
	fmt.Printf("campaign: the judge was given this evidence with one change, %d times; not seen: %q\n", tried, unseen)
	if len(unseen) > 0 {
		return fmt.Errorf("the judge did not see %q", unseen)
	}
	if len(v.Faults) > 0 {
		return fmt.Errorf("%d faults; again with -seed %d -seconds %.0f", len(v.Faults), e.Run.Seed, e.Run.Asked.Seconds())
	}
	return nil
}
