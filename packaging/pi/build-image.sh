#!/bin/bash
# Build an emulated Raspberry Pi 3B: kernel, initramfs, device tree and SD card for `qemu-system-aarch64 -M raspi3b`.
#
#   usage (as root): build-image.sh [CACHE_DIR]        default $PI_CACHE, else /var/cache/fieldgate-pi
#
# Leaves vmlinuz, initrd.img, bcm2837-rpi-3-b.dtb, sd.img (raw ext4), id_ed25519 (ssh, root) and stamp there.
# A second run with an unchanged script does nothing. Everything comes from the Debian mirror that apt is
# already configured with. Installs what it needs on this machine: QEMU >= 9.0 (the first with the board's I2C
# controller; bookworm's own is 7.2, so from bookworm-backports there) and mmdebstrap.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
SUITE=bookworm
CACHE=${1:-${PI_CACHE:-/var/cache/fieldgate-pi}}
SELF=$(readlink -f "$0")
[ "$(id -u)" = 0 ] || { echo "build-image.sh: must run as root" >&2; exit 2; }

# A private mount namespace: the mounts of a bootstrap that is interrupted end with it, so that no later
# removal of the half-made tree can walk into this machine's own /dev or /proc.
[ -n "${PI_NAMESPACE:-}" ] || PI_NAMESPACE=1 exec unshare --mount --propagation private "$SELF" "$CACHE"

say() { echo "build-image: [${SECONDS} s] $*"; }

# mirror LABEL prints the address from which apt gets the archive with this label (other vendors have others).
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Label: $1" | sort -u | head -n 1; }

install_host_tools() {
  [ -n "$(mirror Debian)" ] || apt-get -q update
  MIRROR=$(mirror Debian)
  [ -n "$MIRROR" ] || { echo "build-image: apt knows no archive with the label Debian" >&2; exit 1; }
  local target=() candidate
  candidate=$(apt-cache policy qemu-system-arm | awk '/Candidate:/ {print $2}')
  if dpkg --compare-versions "$candidate" lt 1:9.0; then
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $MIRROR bookworm-backports main" \
      > /etc/apt/sources.list.d/fieldgate-pi.list
    apt-get -q update
    target=(-t bookworm-backports)
  fi
  apt-get -qy install --no-install-recommends "${target[@]}" qemu-system-arm qemu-user-static
  apt-get -qy install --no-install-recommends mmdebstrap arch-test e2fsprogs kmod cpio gzip openssh-client
}

# Maintainer scripts of arm64 packages run here through qemu-user.
enable_arm64_programs() {
  local fs=/proc/sys/fs/binfmt_misc
  [ -e $fs/register ] || mount -t binfmt_misc none $fs
  [ -e $fs/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf > $fs/register
}

# The kernel is downloaded but not installed: its postinst makes an initramfs, which takes longer under
# qemu-user than all the rest. What `apt install ./fieldgate_*.deb` needs is in the list: no network is needed then.
bootstrap() {
  cat > "$WORK/fetch-kernel" <<'HOOK'
#!/bin/sh -e
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cd "$(dirname "$0")"
kernel=$(apt-cache depends linux-image-arm64 | awk '/Depends: linux-image-/ {print $2; exit}')
apt-get -q -o APT::Sandbox::User=root download "$kernel" busybox-static
HOOK
  chmod +x "$WORK/fetch-kernel"
  local security; security=$(mirror Debian-Security)
  mmdebstrap --quiet --mode=root --arch=arm64 --variant=minbase \
    --include=systemd-sysv,udev,dbus,kmod,procps,openssh-server \
    --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="$WORK/fetch-kernel" "$SUITE" "$ROOT" \
    "deb $MIRROR $SUITE main" ${security:+"deb $security $SUITE-security main"}
}

# Sets KERNEL; keeps only the module folders that this board can use: a smaller card, a faster boot.
add_kernel() {
  dpkg-deb -x "$WORK"/linux-image-*_arm64.deb "$WORK/k"
  KERNEL=$(basename "$WORK"/k/lib/modules/*)
  local tree="$WORK/k/lib/modules/$KERNEL/kernel"
  rm -rf "$tree"/{sound,net} "$tree"/fs/{xfs,btrfs,ocfs2,gfs2,nfs,nfsd,ceph,smb,cifs,f2fs,jfs,ubifs,reiserfs,udf,afs,lockd}
  rm -rf "$tree"/drivers/{gpu,media,staging,infiniband,bluetooth,scsi,target,nvme,md,ata,video,accel,isdn,net/ethernet,net/wireless}
  rm -f "$tree"/drivers/net/usb/cdc_subset.ko    # else it takes the network interface from cdc_ether, and fails
  mv "$WORK/k/lib/modules" "$ROOT/lib/modules"
  depmod -b "$ROOT" "$KERNEL"
  cp "$WORK/k/boot/vmlinuz-$KERNEL" "$CACHE/vmlinuz"
  cp "$WORK/k/usr/lib/linux-image-$KERNEL/broadcom/bcm2837-rpi-3-b.dtb" "$CACHE/"
}

configure_guest() {
  local units="$ROOT/etc/systemd/system"
  rm -f "$CACHE"/id_ed25519*
  ssh-keygen -q -t ed25519 -N '' -C emulated-pi -f "$CACHE/id_ed25519"
  install -Dm600 "$CACHE/id_ed25519.pub" "$ROOT/root/.ssh/authorized_keys"
  chmod 700 "$ROOT/root/.ssh"
  echo pi > "$ROOT/etc/hostname"
  echo "127.0.0.1 localhost pi" > "$ROOT/etc/hosts"
  echo "/dev/mmcblk0 / ext4 errors=remount-ro,noatime 0 1" > "$ROOT/etc/fstab"
  # QEMU's user network; no DHCP, no gateway, no name server: the guest needs nothing but its host.
  printf '[Match]\nName=usb* en* eth*\n[Network]\nAddress=10.0.2.15/24\n' > "$ROOT/etc/systemd/network/10-host.network"
  mkdir -p "$units/multi-user.target.wants"
  ln -s /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"
  local unit
  for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer systemd-networkd-wait-online.service; do ln -s /dev/null "$units/$unit"; done
  rm -rf "$ROOT"/var/lib/apt/lists/* "$ROOT"/var/cache/apt/*.bin
  mkdir -p "$ROOT/var/log/journal"                          # the journal of a boot that ended in a power cut
  : > "$ROOT/etc/machine-id"
}

# The card's driver and ext4 are modules in Debian's kernel: load them, mount the card, go on with its systemd. With
# overlayroot=tmpfs on the command line the card is only read, and an overlay in RAM takes what is written, as Debian's
# overlayroot and the Overlay File System of raspi-config have it.
make_initramfs() {
  local tree="$WORK/initramfs" module
  mkdir -p "$tree"/{bin,proc,dev,root,modules}
  dpkg-deb -x "$WORK"/busybox-static_*.deb "$WORK/busybox"
  cp "$WORK/busybox/bin/busybox" "$tree/bin/"
  for module in bcm2835 sdhci-iproc ext4 overlay; do modprobe -d "$ROOT" -S "$KERNEL" --show-depends "$module"; done |
    awk '$1 == "insmod" && !seen[$2]++ {print $2}' |
    while read -r module; do cp "$module" "$tree/modules/"; basename "$module" >> "$tree/modules/order"; done
  cat > "$tree/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
while read -r module; do $b insmod "/modules/$module"; done < /modules/order
tries=0
while [ ! -b /dev/mmcblk0 ] && [ $tries -lt 300 ]; do $b sleep 0.1; tries=$((tries + 1)); done
read -r options < /proc/cmdline
case " $options " in
*" overlayroot=tmpfs "*)
  $b mkdir -p /media/root-ro /media/root-rw
  $b mount -t ext4 -o ro /dev/mmcblk0 /media/root-ro || exec $b sh
  $b mount -t tmpfs tmpfs-root /media/root-rw
  $b mkdir /media/root-rw/overlay /media/root-rw/overlay-workdir
  $b mount -t overlay -o lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay,workdir=/media/root-rw/overlay-workdir overlayroot /root || exec $b sh
  $b mkdir -p /root/media/root-ro /root/media/root-rw
  $b mount -o move /media/root-ro /root/media/root-ro
  $b mount -o move /media/root-rw /root/media/root-rw ;;
*) $b mount -t ext4 /dev/mmcblk0 /root || exec $b sh ;;    # after a power cut ext4 replays its journal here
esac
$b umount /proc
$b mount -o move /dev /root/dev
exec $b switch_root /root /sbin/init
INIT
  chmod +x "$tree/init"
  (cd "$tree" && find . | cpio -o -H newc --quiet | gzip -1) > "$CACHE/initrd.img"
}

make_card() {
  rm -f "$CACHE/sd.img"
  truncate -s 2G "$CACHE/sd.img"                            # QEMU wants a power of two
  mke2fs -q -t ext4 -L pi -d "$ROOT" -F "$CACHE/sd.img"
}

mkdir -p "$CACHE"
CACHE=$(readlink -f "$CACHE")
exec 9> "$CACHE/lock"; flock 9                               # a second builder waits, then finds the stamp
STAMP=$(sha256sum < "$SELF" | cut -d ' ' -f 1)
up_to_date() { [ "$(cat "$CACHE/stamp" 2> /dev/null)" = "$STAMP" ]; }
have_qemu() { dpkg --compare-versions "$(dpkg-query -Wf '${Version}' qemu-system-arm 2> /dev/null)" ge 1:9.0; }
have_qemu && up_to_date && { echo "build-image: $CACHE is up to date"; exit 0; }
install_host_tools
say "$(qemu-system-aarch64 --version | head -n 1)"
up_to_date && exit 0                                         # the card was kept, only the emulator was missing
rm -f "$CACHE/stamp"
WORK=$(mktemp -d "$CACHE/work.XXXXXX")
trap 'rm -rf --one-file-system "$WORK"' EXIT
chmod 755 "$WORK"
ROOT=$WORK/root
enable_arm64_programs
bootstrap
say "root file system made"
add_kernel
configure_guest
make_initramfs
make_card
echo "$STAMP" > "$CACHE/stamp"
say "kernel $KERNEL, $(du -m "$CACHE/sd.img" | cut -f 1) MiB on the card"
