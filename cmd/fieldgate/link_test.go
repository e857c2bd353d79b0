package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// Both ends of a link: the gateway's and the cloud's.
const (
	nearIP = "10.77.0.1"
	farIP  = "10.77.0.2"
)

// A link carries IP packets between two interfaces of a network namespace that
// is the test's own, as badly as it is told to: the TCP that suffers is the
// kernel's. What goes to the loopback does not come this way.
type link struct {
	ends    [2]*os.File
	running sync.WaitGroup

	mu      sync.Mutex
	random  *rand.Rand
	lost    int           // of a hundred packets, each way
	delay   time.Duration // of each packet
	passed  int
	dropped int
}

// inNamespace runs the calling test again as a process of its own in a network
// namespace of its own, in which it gives the link. In the process that asked
// it gives nil, after the other has ended.
func inNamespace(t *testing.T) *link {
	t.Helper()
	const inside = "FIELDGATE_TEST_NAMESPACE"
	if os.Getenv(inside) == t.Name() {
		return newLink(t)
	}
	t.Parallel() // most of its time a line is waited for
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1", fmt.Sprintf("-lineseed=%d", *lineSeed))
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", bytes.TrimSpace(out))
	if err != nil {
		t.Fatalf("in a network namespace of its own (clone(2) CLONE_NEWNET): %v", err)
	}
	return nil
}

// newLink makes the interfaces. What either address sends to the other leaves
// by them although both are on this machine: the rule that looks for local
// addresses first, for all that is sent, is moved behind ours.
func newLink(t *testing.T) *link {
	t.Helper()
	seed := *lineSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (-lineseed)", seed)
	l := &link{random: rand.New(rand.NewPCG(seed, 1))}
	shell(t, "ip", "link", "set", "lo", "up")
	shell(t, "ip", "rule", "add", "pref", "300", "lookup", "local")
	shell(t, "ip", "rule", "del", "pref", "0")
	ips := [2]string{nearIP, farIP}
	for i, name := range [2]string{"near", "far"} {
		end, err := openTUN(name)
		if err != nil {
			t.Fatal(err)
		}
		l.ends[i] = end
		shell(t, "ip", "addr", "add", ips[i]+"/32", "dev", name)
		shell(t, "ip", "link", "set", name, "up", "mtu", "600")
		table := fmt.Sprint(101 + i)
		shell(t, "ip", "route", "add", ips[1-i], "dev", name, "src", ips[i], "table", table)
		shell(t, "ip", "rule", "add", "pref", table, "to", ips[1-i], "iif", "lo", "lookup", table)
		// A packet from an address of this machine is no forgery here.
		write(t, "/proc/sys/net/ipv4/conf/"+name+"/accept_local", "1")
		write(t, "/proc/sys/net/ipv4/conf/"+name+"/rp_filter", "0")
	}
	write(t, "/proc/sys/net/ipv4/conf/all/rp_filter", "0")
	for i := range l.ends {
		l.carry(l.ends[i], l.ends[1-i])
	}
	t.Cleanup(func() {
		_ = l.ends[0].Close()
		_ = l.ends[1].Close()
		l.running.Wait()
		t.Log(l)
	})
	return l
}

// openTUN makes a TUN interface (Linux, Documentation/networking/tuntap.rst);
// it is there until the file is closed. Each read gives one IP packet.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make the interface %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// carry passes on the packets of one direction, in order.
func (l *link) carry(from, to *os.File) {
	way := make(chan parcel, 4096)
	l.running.Go(func() {
		defer close(way)
		for {
			p := make([]byte, 2048)
			n, err := from.Read(p)
			if err != nil {
				return // closed
			}
			if p[0]>>4 != 4 { // IPv6 looks for routers that are not there
				continue
			}
			if late, passes := l.draw(); passes {
				way <- parcel{p[:n], time.Now().Add(late)}
			}
		}
	})
	l.running.Go(func() {
		for p := range way {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.data) // an end that is closed already is a lost packet
		}
	})
}

// A parcel of bytes is due at a time.
type parcel struct {
	data []byte
	due  time.Time
}

// draw tells whether the next packet passes, and how late.
func (l *link) draw() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.random.IntN(100) < l.lost {
		l.dropped++
		return 0, false
	}
	l.passed++
	return l.delay, true
}

// set changes what the link is like, and counts from zero.
func (l *link) set(lost int, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost, l.delay, l.passed, l.dropped = lost, delay, 0, 0
}

// counted gives how many packets passed and were dropped since it was set.
func (l *link) counted() (passed, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed, l.dropped
}

func (l *link) String() string {
	passed, dropped := l.counted()
	return fmt.Sprintf("%d packets passed, %d lost", passed, dropped)
}

// farCloud is a cloud at the far end of the link; the test asks it over the
// loopback.
func farCloud(t *testing.T) *e2e.Cloud {
	cloud := newCloud(t, "plant-7")
	_, port, _ := strings.Cut(cloud.Addr, ":")
	cloud.Name = farIP
	cloud.Flags = []string{"--listen", "0.0.0.0:" + port}
	return cloud
}

// A crossing is a gateway and its cloud with the link between.
type crossing struct {
	*link
	cloud   *e2e.Cloud
	station *testGateway
	screen  *e2e.Screen
	addr    string // of the dashboard
}

func cross(t *testing.T, l *link) *crossing {
	c := &crossing{link: l, cloud: farCloud(t), addr: e2e.FreeAddr(t)}
	c.station = newTestGateway(t, c.cloud, c.addr)
	c.cloud.Start(t)
	c.station.start(t)
	c.screen = e2e.Watch(t, c.addr)
	c.screen.Await(t, "online", 0, isOnline)
	return c
}

// isOnline is true of what a screen saw since the gateway was started, if it is
// online: the first that comes, before any reading, is a status.
func isOnline(rs []e2e.Reading, s e2e.Status) bool {
	return len(rs) > 0 && s.Uplink.State == "online"
}

// allOnce waits for all that was seen on site, and looks that nothing is there
// twice.
func (c *crossing) allOnce(t *testing.T) {
	t.Helper()
	seen, _, _ := c.screen.Snapshot()
	held, took := c.cloud.AwaitAll(t, seen)
	for _, fault := range held.Faults() {
		t.Error(fault)
	}
	t.Logf("%d readings, all there once, %v after the last", len(seen), took.Round(time.Millisecond))
}

func (c *crossing) more(t *testing.T, n int) {
	t.Helper()
	c.screen.Await(t, fmt.Sprintf("%d more readings", n), c.screen.Count(), func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) >= n })
}

// Promises 1 and 3 on a line that loses packets, and on one by satellite.
func TestOverALossyLine(t *testing.T) {
	l := inNamespace(t)
	if l == nil {
		return
	}
	c := cross(t, l)

	const rounds, enough = 12, 100 // packets lost
	l.set(30, 0)
	for range rounds {
		if _, dropped := l.counted(); dropped >= enough {
			break
		}
		c.more(t, 400)
		c.allOnce(t) // during the loss
		c.station.end(t, syscall.SIGTERM)
		c.station.start(t)
		c.screen.Await(t, "online in spite of the loss", c.screen.Count(), isOnline)
	}
	passed, dropped := l.counted()
	t.Logf("30 %% loss: %d packets passed, %d lost", passed, dropped)
	if share := 100 * dropped / max(1, passed+dropped); dropped < enough || share < 20 || share > 40 {
		t.Errorf("that is no loss of 30 %%")
	}

	l.set(0, 2*time.Second)
	c.more(t, 400)
	c.allOnce(t)
	c.station.end(t, syscall.SIGTERM) // the same with everything that opens a line
	from := c.screen.Count()
	c.station.start(t)
	// TCP, TLS, the upgrade and hello: each asks and waits for an answer, 4 s.
	if took := c.screen.Await(t, "online over 2 s each way", from, isOnline); took < 16*time.Second {
		t.Errorf("online after %v: that is not 2 s each way", took)
	}
	c.more(t, 400)
	c.allOnce(t)
	passed, _ = l.counted()
	t.Logf("2 s each way: %d packets", passed)

	l.set(10, 300*time.Millisecond)
	c.more(t, 400)
	c.allOnce(t)
	c.station.end(t, syscall.SIGTERM)
}

// A line that carries nothing any more and does not say so: the gateway finds
// out by itself, and all arrives when it is well.
func TestHalfOpenLine(t *testing.T) {
	l := inNamespace(t)
	if l == nil {
		return
	}
	c := cross(t, l)
	c.more(t, 200)
	l.set(100, 0)
	from := c.screen.Count()
	took := c.screen.Await(t, "it noticed", from, func(_ []e2e.Reading, s e2e.Status) bool { return s.Uplink.State != "online" })
	passed, dropped := l.counted()
	t.Logf("noticed %v after the line went dead; %d packets lost", took.Round(time.Second), dropped)
	if passed > 0 || dropped == 0 {
		t.Errorf("%d packets passed", passed)
	}
	l.set(0, 0)
	c.screen.Await(t, "online again", c.screen.Count(), isOnline)
	c.more(t, 200)
	c.allOnce(t)
	c.station.end(t, syscall.SIGTERM)
}
