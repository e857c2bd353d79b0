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
		moved  string // where the upper layer can be seen
		ram    bool   // the overlay has the size of a tmpfs
	}{
		{"card", card, "/var/lib/fieldgate", true, Durable, "", "", false},
		{"tmpfs", card + "\n22 21 0:30 / /var/lib rw - tmpfs tmpfs rw", "/var/lib/fieldgate", true, Volatile, "tmpfs", "", false},
		{"ramfs", card + "\n22 21 0:30 / /var/lib rw - ramfs none rw", "/var/lib/fieldgate", true, Volatile, "ramfs", "", false},
		{"a tmpfs beside it", card + "\n22 21 0:30 / /var/lib/field rw - tmpfs tmpfs rw", "/var/lib/fieldgate", true, Durable, "", "", false},
		{"the card over a tmpfs", "20 1 0:2 / / rw - rootfs rootfs rw\n" + card, "/var/lib/fieldgate", true, Durable, "", "", false},
		{"overlayroot", "20 1 179:2 / /media/root-ro ro - ext4 /dev/mmcblk0p2 ro\n21 1 0:24 / /media/root-rw rw - tmpfs tmpfs-root rw\n" +
			"22 1 0:25 / / rw - overlay overlayroot " +
			"rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay,workdir=/media/root-rw/overlay-workdir/_",
			"/var/lib/fieldgate", true, Volatile, "tmpfs", "", false},
		{"raspi-config, its tmpfs out of sight", "22 1 0:25 / / rw - overlay overlay rw,lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work",
			"/var/lib/fieldgate", false, Unknown, "/upper/data", "", false},
		{"its path is another's here", "22 1 0:25 / / rw - overlay overlay rw,lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work",
			"/var/lib/fieldgate", true, Unknown, "cannot be found", "", false},
		{"overlay on the card", card + "\n22 1 0:25 / /srv rw - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c",
			"/srv/store", true, Durable, "", "", false},
		{"overlay of overlay", card + "\n23 1 0:24 / /ram rw - tmpfs none rw\n" +
			"22 1 0:25 / /one rw - overlay overlay rw,lowerdir=/a,upperdir=/ram/b,workdir=/ram/c\n" +
			"24 1 0:26 / /two rw - overlay overlay rw,lowerdir=/a,upperdir=/one/b,workdir=/one/c", "/two/store", true, Volatile, "tmpfs", "", false},
		{"overlay without waiting", card + "\n22 1 0:25 / /srv rw - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c,volatile",
			"/srv/store", true, Volatile, "volatile", "", false},
		{"overlay without an upper layer", card + "\n22 1 0:25 / /srv ro - overlay overlay ro,lowerdir=/a:/b",
			"/srv/store", true, Unknown, "no upper layer", "", false},
		{"escapes", card + "\n23 1 0:24 / /my\\040ram rw - tmpfs none rw\n" +
			"22 1 0:25 / /srv rw - overlay overlay rw,lowerdir=/a,upperdir=/my\\040ram/b,workdir=/c", "/srv/store",
			true, Volatile, "/my ram", "", false},
		{"zram", card + "\n22 21 252:0 / /var/lib rw - ext4 /dev/zram0 rw", "/var/lib/fieldgate", true, Volatile, "zram0", "", false},
		{"ram disk", card + "\n22 21 1:0 / /var/lib rw - ext2 /dev/ram0 rw", "/var/lib/fieldgate", true, Volatile, "ram0", "", false},
		{"btrfs on zram", card + "\n22 21 0:40 / /var/lib rw - btrfs /dev/zram1 rw", "/var/lib/fieldgate", true, Volatile, "zram1", "", false},
		{"LUKS on zram", card + "\n22 21 253:0 / /var/lib rw - ext4 /dev/mapper/x rw", "/var/lib/fieldgate", true, Volatile, "zram0", "", false},
		{"a loop device whose file lies in RAM", card + "\n22 21 0:30 / /images rw - tmpfs tmpfs rw\n" +
			"23 21 7:0 / /var/lib rw - ext4 /dev/loop0 rw", "/var/lib/fieldgate", true, Volatile, "tmpfs at /images", "", false},
		{"a loop device whose file lies on the card", card + "\n23 21 7:0 / /var/lib rw - ext4 /dev/loop0 rw",
			"/var/lib/fieldgate", true, Durable, "", "", false},
		{"a name like ram", card + "\n22 21 0:41 / /var/lib rw - fuse ramdisk rw", "/var/lib/fieldgate", true, Durable, "", "", false},
		{name: "moved since by an initramfs", mounts: "21 1 0:24 / /media/rw rw - tmpfs tmpfs-root rw\n" +
			"22 1 0:25 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/mnt/up,workdir=/mnt/work",
			dir: "/var/lib/fieldgate", want: Volatile, says: "tmpfs at /media/rw", moved: "/media/rw/up/var/lib/fieldgate"},
		{name: "out of sight, of the size of RAM", mounts: "22 1 0:25 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/mnt/up,workdir=/mnt/work",
			dir: "/var/lib/fieldgate", want: Volatile, says: "size of one in RAM", ram: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			mounts, err := readMounts(strings.NewReader(c.mounts + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			l := look{mounts: mounts, seen: map[string]bool{}, sys: boardSys(t),
				same:  func(_, upper string) bool { return c.same || c.moved != "" && strings.HasPrefix(upper, c.moved) },
				inRAM: func(string) bool { return c.ram }}
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
		"dev/block/179:2": "mmcblk0/mmcblk0p2", "dev/block/252:0": "zram0", "dev/block/1:0": "ram0",
		"class/block/zram1": "zram1", "dev/block/253:0": "dm-0", "devices/dm-0/slaves/zram0": "zram0", "dev/block/7:0": "loop0",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Join(sys, "devices", device), 0o700),
			os.MkdirAll(filepath.Dir(filepath.Join(sys, link)), 0o700),
			os.Symlink(filepath.Join(sys, "devices", device), filepath.Join(sys, link))); err != nil {
			t.Fatal(err)
		}
	}
	loop := filepath.Join(sys, "devices/loop0/loop")
	if err := errors.Join(os.MkdirAll(loop, 0o700),
		os.WriteFile(filepath.Join(loop, "backing_file"), []byte("/images/store.img\n"), 0o600)); err != nil {
		t.Fatal(err)
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
mkdir one/store card/store moved hidden two three
mount -t tmpfs none moved; mkdir moved/up moved/work
mount -t overlay overlay -o lowerdir=low,upperdir=$1/moved/up,workdir=$1/moved/work two
mount -t tmpfs none hidden; mkdir hidden/up hidden/work
mount -t overlay overlay -o lowerdir=low,upperdir=$1/hidden/up,workdir=$1/hidden/work three
mkdir two/store three/store elsewhere
mount --move moved elsewhere
umount -l hidden
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
	if err != nil || strings.Count(string(out), "looked at") != 5 {
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
	for dir, want := range map[string]Keeping{
		"ram/store": Volatile, "one/store": Volatile, "two/store": Volatile, "three/store": Volatile, "card/store": plain,
	} {
		got, why := Where(filepath.Join(root, dir))
		fmt.Printf("looked at %s: %d %s\n", dir, got, why)
		if got != want {
			t.Errorf("%s: %d %s, want %d", dir, got, why, want)
		}
	}
}
