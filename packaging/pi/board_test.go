//go:build pi

package pi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	bootLimit    = 8 * time.Minute // 60 to 80 s on two idle cores
	commandLimit = 5 * time.Minute // apt-get takes about 50 s
	tmp105       = "/machine/peripheral/tank"

	// Registers of the BCM2835's GPIO block that set and clear lines 0 to 31 (BCM2835 ARM Peripherals, section 6.1).
	gpset0, gpclr0 = 0x3f20001c, 0x3f200028
)

// A board is one emulated Raspberry Pi 3B with a TMP105 at address 0x48 of its I2C bus 1, and other chips beside it that
// nobody speaks to until the kernel is told of them. Its card is a raw image:
// QEMU's card model has no flush command, so a killed QEMU would lose what a qcow2 image still has in memory, which
// no real card does.
type board struct {
	t       *testing.T
	cache   string // what build-image.sh made
	dir     string // this board's card, sockets and console
	sshPort int    // on the host's 127.0.0.1
	webPort int    // on the host's 127.0.0.1, for the guest's port 8080
	tlsPort int    // likewise, for 8443
	options string // of the kernel, beside those that every boot has
	exited  chan struct{}
	qemu    *exec.Cmd // nil: powered off
}

// newBoard puts a fresh card into a board that is powered off. The board goes with the test.
func newBoard(t *testing.T) *board {
	t.Helper()
	cache := os.Getenv("PI_CACHE")
	if cache == "" {
		cache = "/var/cache/fieldgate-pi"
	}
	dir, err := os.MkdirTemp("", "pi") // short: sockets lie here
	if err != nil {
		t.Fatal(err)
	}
	b := &board{t: t, cache: cache, dir: dir, sshPort: freePort(t), webPort: freePort(t), tlsPort: freePort(t)}
	t.Cleanup(func() {
		if b.qemu != nil {
			b.cut()
		}
		os.RemoveAll(dir)
	})
	out, err := exec.Command("cp", "--sparse=always", filepath.Join(cache, "sd.img"), b.path("sd.img")).CombinedOutput()
	if err != nil {
		t.Fatalf("no card image, run packaging/pi/build-image.sh: %v: %s", err, out)
	}
	return b
}

func (b *board) path(name string) string { return filepath.Join(b.dir, name) }

// netless is how long a boot may go on without ssh before the board is switched off and on again: now and then QEMU's
// USB network adapter does not come up at all ("Slirp: Failed to send packet" without end). A boot takes 40 to 180 s.
const netless = 4 * time.Minute

// boot switches the board on and returns when ssh answers, and how long that took.
func (b *board) boot() time.Duration {
	b.t.Helper()
	for range 2 {
		if took, ok := b.tryBoot(netless); ok {
			return took
		}
		b.t.Logf("pi: no network after %v: the emulator's USB adapter is stuck; switched off and on again", netless)
		b.cut()
	}
	took, ok := b.tryBoot(bootLimit)
	if !ok {
		b.t.Fatalf("no ssh after %v; the console's end:\n%s", bootLimit, b.console())
	}
	return took
}

func (b *board) tryBoot(limit time.Duration) (time.Duration, bool) {
	b.t.Helper()
	start := time.Now()
	b.qemu = exec.Command("qemu-system-aarch64", "-M", "raspi3b", "-display", "none", "-monitor", "none", "-no-reboot",
		"-kernel", filepath.Join(b.cache, "vmlinuz"), "-initrd", filepath.Join(b.cache, "initrd.img"),
		"-dtb", filepath.Join(b.cache, "bcm2837-rpi-3-b.dtb"), "-append", "console=ttyS1,115200 root=/dev/mmcblk0 rw panic=-1 "+b.options,
		"-drive", "if=sd,format=raw,file="+b.path("sd.img"),
		"-device", "usb-net,netdev=host", "-netdev", fmt.Sprintf(
			"user,id=host,hostfwd=tcp:127.0.0.1:%d-:22,hostfwd=tcp:127.0.0.1:%d-:8080,hostfwd=tcp:127.0.0.1:%d-:8443",
			b.sshPort, b.webPort, b.tlsPort),
		"-device", "tmp105,id=tank,bus=i2c-bus.1,address=0x48",
		"-device", "tmp421,id=rack,bus=i2c-bus.1,address=0x4d", // these four for drivers of the kernel
		"-device", "emc1413,id=cabinet,bus=i2c-bus.1,address=0x4c",
		"-device", "lsm303dlhc_mag,id=compass,bus=i2c-bus.1,address=0x1e",
		"-device", "dps310,id=air,bus=i2c-bus.1,address=0x77",
		"-serial", "null", "-serial", "file:"+b.path("console"), // the console is the second UART
		"-qmp", "unix:"+b.path("qmp")+",server=on,wait=off",
		"-qtest", "unix:"+b.path("qtest")+",server=on,wait=off", "-qtest-log", "none")
	complaints, err := os.Create(b.path("complaints"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer complaints.Close()
	b.qemu.Stderr = complaints
	b.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.qemu.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.exited = make(chan struct{})
	go func(qemu *exec.Cmd, exited chan struct{}) {
		_ = qemu.Wait()
		close(exited)
	}(b.qemu, b.exited)
	ok := b.awaitSSH(limit)
	return time.Since(start), ok
}

func (b *board) awaitSSH(limit time.Duration) bool {
	b.t.Helper()
	deadline := time.After(limit)
	for {
		ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
		_, err := b.ssh(ctx, nil, "true")
		cancel()
		if err == nil {
			return true
		}
		select {
		case <-b.exited:
			b.t.Fatalf("QEMU ended; the console's end:\n%s", b.console())
		case <-deadline:
			return false
		case <-time.After(time.Second):
		}
	}
}

// cut takes the power away: the guest gets no chance to write anything.
func (b *board) cut() {
	_ = b.qemu.Process.Kill()
	<-b.exited
	b.qemu = nil
}

// ssh runs a shell script as root in the guest and returns what it printed; the error holds its standard error.
func (b *board) ssh(ctx context.Context, stdin io.Reader, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "ssh", "-q", "-i", filepath.Join(b.cache, "id_ed25519"), "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10", "-p", fmt.Sprint(b.sshPort), "root@127.0.0.1", script)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("in the guest: %w: %s%s", err, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// run is ssh for what must succeed.
func (b *board) run(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	out, err := b.ssh(ctx, nil, "set -e; "+script)
	if err != nil {
		t.Fatalf("%s\n%v", script, err)
	}
	return out
}

// put writes a file in the guest, readable by user fieldgate alone unless public.
func (b *board) put(t *testing.T, path string, content []byte, public bool) {
	t.Helper()
	script := "cat > " + path
	if !public {
		script += " && chown fieldgate " + path + " && chmod 600 " + path
	}
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	if _, err := b.ssh(ctx, bytes.NewReader(content), script); err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
}

// temperature sets what the TMP105 measures, in °C.
func (b *board) temperature(t *testing.T, celsius float64) {
	t.Helper()
	b.set(t, tmp105, "temperature", int(celsius*1000))
}

// set sets what a chip measures.
func (b *board) set(t *testing.T, chip, property string, value int) {
	t.Helper()
	args := map[string]any{"path": chip, "property": property, "value": value}
	if err := qmp(b.path("qmp"), "qom-set", args); err != nil {
		t.Fatal(err)
	}
}

// gpio drives one of the lines 0 to 31 from outside, as a wire would.
func (b *board) gpio(t *testing.T, line int, high bool) {
	t.Helper()
	register := gpclr0
	if high {
		register = gpset0
	}
	conn, in, err := dialUnix(b.path("qtest"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "writel %#x %#x\n", register, 1<<line)
	if answer, err := in.ReadString('\n'); err != nil || strings.TrimSpace(answer) != "OK" {
		t.Fatalf("set GPIO%d: %q, %v", line, answer, err)
	}
}

// qmp carries out one command of the QEMU Machine Protocol.
func qmp(socket, command string, arguments any) error {
	conn, in, err := dialUnix(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	requests := json.NewEncoder(conn)
	answers := json.NewDecoder(in)
	for _, request := range []map[string]any{
		{"execute": "qmp_capabilities"},
		{"execute": command, "arguments": arguments},
	} {
		if err := requests.Encode(request); err != nil {
			return fmt.Errorf("qmp %s: %w", command, err)
		}
		if err := qmpAnswer(answers); err != nil {
			return fmt.Errorf("qmp %s: %w", command, err)
		}
	}
	return nil
}

// qmpAnswer reads up to the answer to one command, past the greeting and events.
func qmpAnswer(answers *json.Decoder) error {
	for {
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := answers.Decode(&answer); err != nil {
			return err
		}
		if answer.Error != nil {
			return errors.New(answer.Error.Desc)
		}
		if answer.Return != nil {
			return nil
		}
	}
}

func dialUnix(path string) (net.Conn, *bufio.Reader, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, nil, err
	}
	err = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn, bufio.NewReader(conn), err
}

// console returns the end of what the guest printed there, and what QEMU had to say.
func (b *board) console() string {
	text, _ := os.ReadFile(b.path("console"))
	complaints, _ := os.ReadFile(b.path("complaints"))
	return string(text[max(0, len(text)-3000):]) + "\nQEMU:\n" + string(complaints)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
