package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/systemd"
)

const (
	demoID         = "demo"
	cloudReadyWait = 15 * time.Second
	cloudStopWait  = 20 * time.Second
	tellEvery      = 2 * time.Second // how often the waiting readings are told while the uplink is cut
)

type demoCommand struct {
	Listen      string        `default:"127.0.0.1:8080" help:"Address of the dashboard."`
	CloudListen string        `default:"127.0.0.1:8443" help:"Address of the cloud."`
	Outage      time.Duration `placeholder:"AGE" help:"First fill the store as if the uplink had been away for so long, 20 channels at 1 Hz; then connect and show how the backlog drains. Without it: begin empty."`
	State       string        `placeholder:"DIR" help:"Folder for everything the demo keeps. Without it: a temporary one, removed at the end."`
}

// Run runs a gateway and a cloud until ctx is done.
func (k demoCommand) Run(ctx context.Context, c console) error {
	dir, remove, err := k.stateDir()
	if err != nil {
		return err
	}
	defer remove()
	show := newScreen(c)
	defer show.end()
	c.out = show
	log := slog.New(systemd.NewTerminalHandler(show.log()))
	cloud := &demoCloud{program: cloudProgram(), state: filepath.Join(dir, "cloud"), listen: k.CloudListen, log: log}
	token := filepath.Join(dir, "demo.token")
	if err := cloud.enrol(token); err != nil {
		return err
	}
	if err := cloud.start(ctx); err != nil {
		return err
	}
	defer cloud.stop()
	cfg, err := k.config(dir, token, cloud.ca())
	if err != nil {
		return err
	}
	if k.Outage > 0 {
		if err := fillOutage(ctx, cfg, k.Outage, c); err != nil {
			return err
		}
	}
	line := &breaker{}
	d := &daemon{cfg: cfg, dial: line.dial, log: log, lost: show.err.Lost}
	if err := d.start(); err != nil {
		return err
	}
	k.greet(c, d, cloud)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go cloud.watch(cancel)
	go k.switchUplink(ctx, &demoLine{line, d, cloud, c.out})
	if k.Outage > 0 {
		go showDrain(ctx, d, cloud, c)
	}
	if err := d.run(ctx); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (k demoCommand) stateDir() (dir string, remove func(), err error) {
	if k.State != "" {
		if err := os.MkdirAll(k.State, 0o700); err != nil {
			return "", nil, fmt.Errorf("make the folder of --state: %w", err)
		}
		dir, err = filepath.Abs(k.State)
		return dir, func() {}, err
	}
	dir, err = os.MkdirTemp("", "fieldgate-demo-")
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// config writes the demo's configuration into its folder and reads it the way
// every configuration is read.
func (k demoCommand) config(dir, token, ca string) (*config.Config, error) {
	host, port, err := net.SplitHostPort(k.CloudListen)
	if err != nil {
		return nil, fmt.Errorf("--cloud-listen: %w", err)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	text := fmt.Sprintf(demoConfig, demoID, net.JoinHostPort(host, port), token, ca, filepath.Join(dir, "gateway"), k.Listen)
	path := filepath.Join(dir, "fieldgate.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's configuration: %w", err)
	}
	return config.Load(path, driverTable())
}

const demoConfig = `version = 1
[gateway]
id = %q
[uplink]
url = "wss://%s/v1/gateway"
token_file = %q
ca = %q
[store]
dir = %q
[local]
listen = %q
view = "open"
[[device]]
id = "boiler"
driver = "lm75"
model = "tmp105"
bus = "sim-1"
address = 0x48
interval = "1s"
[[device]]
id = "return-pipe"
driver = "lm75"
model = "tmp105"
bus = "sim-1"
address = 0x49
interval = "1s"
[[device]]
id = "outdoor"
driver = "lm75"
model = "tmp105"
bus = "sim-2"
address = 0x4a
interval = "2s"
[[device]]
id = "cellar-door"
driver = "gpio-in"
chip = "sim"
line = "GPIO17"
interval = "1s"
[[device]]
id = "board"
driver = "hostsys"
interval = "5s"
`

// greet says where everything is.
func (k demoCommand) greet(c console, d *daemon, cloud *demoCloud) {
	fmt.Fprintf(c.out, `
  dashboard   http://%s/
  cloud       https://%s/   what it holds of this gateway, one line per reading:
              curl --cacert %s -H "Authorization: Bearer $(cat %s)" https://%s/v1/gateways/%s/readings

  u           cuts the uplink, and restores it: watch the buffer grow and drain   (or: kill -USR1 %d)
  Ctrl-C      ends the demo

`, d.local.Addr(), k.CloudListen, cloud.ca(), filepath.Join(cloud.state, "operator.token"), k.CloudListen, demoID, os.Getpid())
}

// A demoLine is the line to the cloud that people cut and restore.
type demoLine struct {
	*breaker
	d     *daemon
	cloud *demoCloud
	out   io.Writer
}

// switchUplink cuts and restores the uplink at every u or SIGUSR1.
func (k demoCommand) switchUplink(ctx context.Context, line *demoLine) {
	usr1 := make(chan os.Signal, 1)
	signal.Notify(usr1, syscall.SIGUSR1)
	defer signal.Stop(usr1)
	keys, restore := readKeys(os.Stdin)
	defer restore()
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-usr1:
			line.flip(ctx)
		case key := <-keys:
			if key == 'u' || key == 'U' {
				line.flip(ctx)
			}
		case <-ticker.C:
			if line.isCut() {
				fmt.Fprintf(line.out, "uplink cut: %d readings wait on this board\n", line.d.store.Stats().Unacked)
			}
		}
	}
}

// flip cuts the line, or restores it and tells how what waited is delivered.
func (l *demoLine) flip(ctx context.Context) {
	if !l.isCut() {
		l.set(true)
		fmt.Fprintln(l.out, "uplink cut")
		return
	}
	due := owedOf(l.d.store)
	l.set(false)
	fmt.Fprintln(l.out, "uplink restored")
	l.d.uplink.Wake()
	go due.tell(ctx, l.cloud, l.out) // ends with ctx
}

// cloudProgram is fieldgate-cloud beside this program, or on the PATH.
func cloudProgram() string {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "fieldgate-cloud")
		if _, err := os.Stat(beside); err == nil {
			return beside
		}
	}
	return "fieldgate-cloud"
}

// A demoCloud is the cloud server as a program of its own.
type demoCloud struct {
	program, state, listen string
	log                    *slog.Logger

	cmd   *exec.Cmd
	ended chan struct{} // closed when the program has ended
}

func (l *demoCloud) ca() string { return filepath.Join(l.state, "ca.pem") }

// enrol makes the gateway known to the cloud, once per state folder.
func (l *demoCloud) enrol(tokenFile string) error {
	if _, err := os.Stat(tokenFile); err == nil {
		return nil
	}
	token, err := exec.Command(l.program, "gateway", "add", demoID, "--state", l.state).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("make the gateway known to the cloud: %w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return fmt.Errorf("make the gateway known to the cloud: %w; `make build` puts fieldgate-cloud beside fieldgate", err)
	}
	if err := os.WriteFile(tokenFile, token, 0o600); err != nil {
		return fmt.Errorf("keep the gateway's token: %w", err)
	}
	return nil
}

// start starts the cloud and waits until it takes connections.
func (l *demoCloud) start(ctx context.Context) error {
	l.cmd = exec.Command(l.program, "run", "--listen", l.listen, "--state", l.state)
	says, err := l.listenTo(l.cmd)
	if err != nil {
		return err
	}
	// In a group of its own, so that Ctrl-C reaches the gateway first and its
	// last readings still find a cloud; killed with us if we are killed.
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	l.ended = make(chan struct{})
	go func() {
		runtime.LockOSThread() // Pdeathsig looks at the thread that started the program
		err := l.cmd.Start()
		_ = l.cmd.Stderr.(*os.File).Close() // the cloud has it now
		started <- err
		if err == nil {
			l.relay(says)
			_ = l.cmd.Wait()
			close(l.ended)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start the cloud: %w; `make build` puts fieldgate-cloud beside fieldgate", err)
	}
	ctx, cancel := context.WithTimeout(ctx, cloudReadyWait)
	defer cancel()
	for !l.answers(ctx) {
		select {
		case <-l.ended:
			return errors.New("the cloud ended at once; its reason stands above")
		case <-ctx.Done():
			l.stop()
			return fmt.Errorf("wait for the cloud on %s: %w", l.listen, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// listenTo stands in the place of the journal for the cloud, so that it says
// the level of each line, and gives what it will say.
func (l *demoCloud) listenTo(cmd *exec.Cmd) (says io.Reader, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the cloud's log: %w", err)
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(int(w.Fd()), &st); err != nil {
		return nil, fmt.Errorf("make a pipe for the cloud's log: %w", err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	cmd.Env = append(os.Environ(), fmt.Sprintf("JOURNAL_STREAM=%d:%d", st.Dev, st.Ino))
	return r, nil
}

// relay logs what the cloud says until it has ended. What has no level is its
// last word.
func (l *demoCloud) relay(says io.Reader) {
	for lines := bufio.NewReader(says); ; {
		line, err := lines.ReadString('\n')
		level, text, known := systemd.ParsePriority(strings.TrimSuffix(line, "\n"))
		if !known {
			level = slog.LevelError
		}
		if text != "" {
			l.log.Log(context.Background(), level, "cloud: "+text)
		}
		if err != nil {
			return
		}
	}
}

// answers reports whether somebody speaks TLS there. Who it is, the uplink
// verifies.
func (l *demoCloud) answers(ctx context.Context) bool {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // nothing is sent
	conn, err := dialer.DialContext(ctx, "tcp", l.listen)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// watch ends the demo when the cloud ends by itself.
func (l *demoCloud) watch(end context.CancelCauseFunc) {
	<-l.ended
	end(errors.New("the cloud ended; its reason stands above"))
}

// stop ends the cloud, orderly if it can.
func (l *demoCloud) stop() {
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-l.ended:
	case <-time.After(cloudStopWait):
		_ = l.cmd.Process.Kill()
		<-l.ended
	}
}
