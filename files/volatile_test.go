package files

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Mount tables as boards have them, and what a power cut leaves of the store's
// folder there.
func TestWhereByMounts(t *testing.T) {
	card := "21 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw"
	for _, c := range []struct {
		name   string
		mounts string
		dir    string
		same   bool
		want   Keeping
		says   string
	}{
		{"card", card, "/var/lib/fieldgate", true, Durable, ""},
		{"tmpfs", card + "\n22 21 0:30 / /var/lib rw - tmpfs tmpfs rw", "/var/lib/fieldgate", true, Volatile, "tmpfs"},
		{"ramfs", card + "\n22 21 0:30 / /var/lib rw - ramfs none rw", "/var/lib/fieldgate", true, Volatile, "ramfs"},
		{"a tmpfs beside it", card + "\n22 21 0:30 / /var/lib/field rw - tmpfs tmpfs rw", "/var/lib/fieldgate", true, Durable, ""},
		{"the card over a tmpfs", "20 1 0:2 / / rw - rootfs rootfs rw\n" + card, "/var/lib/fieldgate", true, Durable, ""},
		{"overlayroot", "20 1 179:2 / /media/root-ro ro - ext4 /dev/mmcblk0p2 ro\n21 1 0:24 / /media/root-rw rw - tmpfs tmpfs-root rw\n" +
			"22 1 0:25 / / rw - overlay overlayroot rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay,workdir=/media/root-rw/overlay-workdir/_",
			"/var/lib/fieldgate", true, Volatile, "tmpfs"},
		{"raspi-config, its tmpfs out of sight", "22 1 0:25 / / rw - overlay overlay rw,lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work",
			"/var/lib/fieldgate", false, Unknown, "/upper/data"},
		{"its path is another's here", "22 1 0:25 / / rw - overlay overlay rw,lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work",
			"/var/lib/fieldgate", true, Unknown, "cannot be found"},
		{"overlay on the card", card + "\n22 1 0:25 / /srv rw - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c", "/srv/store", true, Durable, ""},
		{"overlay of overlay", card + "\n23 1 0:24 / /ram rw - tmpfs none rw\n22 1 0:25 / /one rw - overlay overlay rw,lowerdir=/a,upperdir=/ram/b,workdir=/ram/c\n" +
			"24 1 0:26 / /two rw - overlay overlay rw,lowerdir=/a,upperdir=/one/b,workdir=/one/c", "/two/store", true, Volatile, "tmpfs"},
		{"overlay without waiting", card + "\n22 1 0:25 / /srv rw - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c,volatile", "/srv/store", true, Volatile, "volatile"},
		{"overlay without an upper layer", card + "\n22 1 0:25 / /srv ro - overlay overlay ro,lowerdir=/a:/b", "/srv/store", true, Unknown, "no upper layer"},
		{"escapes", card + "\n23 1 0:24 / /my\\040ram rw - tmpfs none rw\n22 1 0:25 / /srv rw - overlay overlay rw,lowerdir=/a,upperdir=/my\\040ram/b,workdir=/c", "/srv/store", true, Volatile, "/my ram"},
		{"zram", card + "\n22 21 252:0 / /var/lib rw - ext4 /dev/zram0 rw", "/var/lib/fieldgate", true, Volatile, "zram0"},
		{"ram disk", card + "\n22 21 1:0 / /var/lib rw - ext2 /dev/ram0 rw", "/var/lib/fieldgate", true, Volatile, "ram0"},
		{"btrfs on zram", card + "\n22 21 0:40 / /var/lib rw - btrfs /dev/zram1 rw", "/var/lib/fieldgate", true, Volatile, "zram1"},
		{"LUKS on zram", card + "\n22 21 253:0 / /var/lib rw - ext4 /dev/mapper/x rw", "/var/lib/fieldgate", true, Volatile, "zram0"},
		{"a name like ram", card + "\n22 21 0:41 / /var/lib rw - fuse ramdisk rw", "/var/lib/fieldgate", true, Durable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			mounts, err := readMounts(strings.NewReader(c.mounts + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			l := look{mounts: mounts, seen: map[string]bool{}, same: func(string, string) bool { return c.same }, sys: boardSys(t)}
			if got, why := l.folder(c.dir); got != c.want || !strings.Contains(why, c.says) {
				t.Errorf("%d %q, want %d and %q in it", got, why, c.want, c.says)
			}
		})
	}
}

// boardSys makes what of /sys is looked at.
func boardSys(t *testing.T) string {
	t.Helper()
	sys := t.TempDir()
	for link, device := range map[string]string{
		"dev/block/179:2": "mmcblk0/mmcblk0p2", "dev/block/252:0": "zram0", "dev/block/1:0": "ram0", "class/block/zram1": "zram1", "dev/block/253:0": "dm-0", "devices/dm-0/slaves/zram0": "zram0",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Join(sys, "devices", device), 0o700), os.MkdirAll(filepath.Dir(filepath.Join(sys, link)), 0o700),
			os.Symlink(filepath.Join(sys, "devices", device), filepath.Join(sys, link))); err != nil {
			t.Fatal(err)
		}
	}
	return sys
}

// On real mounts, in a mount namespace of their own: TestWhereInside runs there.
func TestWhereOnRealMounts(t *testing.T) {
	script := `set -e
mount --make-rprivate /
cd "$1"; mkdir ram low card one
mount -t tmpfs none ram; mkdir ram/up ram/work ram/store
mount -t overlay overlay -o lowerdir=low,upperdir=$1/ram/up,workdir=$1/ram/work one
mkdir one/store card/store
exec "$2" -test.run '^TestWhereInside$' -test.v`
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	cmd := exec.Command("sh", "-c", script, "sh", root, self)
	cmd.Env = append(os.Environ(), "FIELDGATE_WHERE="+root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "looked at") != 3 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestWhereInside is a part of TestWhereOnRealMounts.
func TestWhereInside(t *testing.T) {
	root := os.Getenv("FIELDGATE_WHERE")
	if root == "" {
		return // looked at by TestWhereOnRealMounts
	}
	plain, _ := Where(root)
	for dir, want := range map[string]Keeping{"ram/store": Volatile, "one/store": Volatile, "card/store": plain} {
		got, why := Where(filepath.Join(root, dir))
		fmt.Printf("looked at %s: %d %s\n", dir, got, why)
		if got != want {
			t.Errorf("%s: %d %s, want %d", dir, got, why, want)
		}
	}
}
