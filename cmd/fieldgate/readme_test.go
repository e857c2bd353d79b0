package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// Every command in the README is run by a test: the first block by TestDemo
// (make run) and by whoever runs this (make test), the second on the emulated
// Pi, the third here.
func TestREADME(t *testing.T) {
	blocks := e2e.Blocks(t, "../../README.md", "sh")
	if len(blocks) != 3 || blocks[0] != "make run\nmake test\n" || !strings.HasPrefix(blocks[1], "sudo apt install ./fieldgate_") {
		t.Fatalf("the README has other commands than those that tests run: %q", blocks)
	}
	commands := strings.Split(strings.TrimSpace(blocks[2]), "\n")
	if len(commands) != 2 {
		t.Fatalf("commands for the cloud: %q", commands)
	}
	program, err := cloudProgramPath()
	if err != nil {
		t.Fatal(err)
	}
	shell := func(command string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", "exec "+strings.Replace(command, "127.0.0.1:8443", e2e.FreeAddr(t), 1))
		cmd.Dir = filepath.Dir(program)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
		return cmd
	}
	token, err := shell(commands[0]).Output()
	if err != nil || !strings.HasPrefix(string(token), "fg1_plant-7_") {
		t.Errorf("%s: %v, prints %q", commands[0], err, token)
	}
	server := shell(commands[1])
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, bufio.NewScanner(stderr), "listening on")
	_ = server.Process.Signal(syscall.SIGTERM)
	_, _ = io.Copy(io.Discard, stderr)
	if err := server.Wait(); err != nil {
		t.Errorf("%s: %v", commands[1], err)
	}
}

// The configuration in the README, and the one that the package ships, are
// good ones.
func TestShownConfigurationsAreValid(t *testing.T) {
	for _, block := range e2e.Blocks(t, "../../README.md", "toml") {
		path := write(t, filepath.Join(t.TempDir(), "readme.toml"), "version = 1\n"+block)
		if code, _, errs := outcome(t, "check", path); code != cli.ExitOK {
			t.Errorf("the README's configuration: exit %d\n%s", code, errs)
		}
	}
	if code, _, errs := outcome(t, "check", "../../packaging/fieldgate.toml"); code != cli.ExitOK {
		t.Errorf("the shipped configuration: exit %d\n%s", code, errs)
	}
}
