package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/disk"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
)

// fillUp is somebody else's file that takes all room.
func (b *board) fillUp(ctx context.Context) error {
	d := between(b.random, 2*time.Second, 25*time.Second)
	left := []int64{0, 64 << 10, 1 << 20}[b.random.IntN(3)]
	b.becomes(cardFull)
	b.act("full disk", d, fmt.Sprintf("%d bytes are left", left))
	if err := fill(b.ballast(), b.card.Mount, left); err != nil {
		return err
	}
	err := b.meanwhile(ctx, d)
	if cerr := os.Remove(b.ballast()); cerr != nil && !errors.Is(cerr, unix.EROFS) && !errors.Is(cerr, unix.ENOENT) {
		err = errors.Join(err, cerr)
	}
	b.becomes(cardWell)
	return err
}

// fill makes a file that leaves so many bytes to others.
func fill(path, dir string, left int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("fill the card: %w", err)
	}
	defer unix.Close(fd)
	for size := int64(st.Bavail)*st.Frsize - left; size > 0; size -= 64 << 10 { // some room goes to the file's own blocks
		if err = unix.Fallocate(fd, 0, 0, size); err == nil || !errors.Is(err, unix.ENOSPC) {
			break
		}
	}
	return err
}

// refuse is a card that answers EIO to all, or to some, writes.
func (b *board) refuse(ctx context.Context) error {
	d := between(b.random, time.Second, 12*time.Second)
	odds := []float64{1, 0.3, 0.02}[b.random.IntN(3)]
	b.becomes(cardBad)
	b.act("EIO", d, fmt.Sprintf("of %g of the writes", odds))
	b.card.Refuse(odds)
	err := b.meanwhile(ctx, d)
	b.card.Heal()
	return errors.Join(err, b.thaw(ctx))
}

func (b *board) hang(ctx context.Context) error {
	d := between(b.random, time.Second, 12*time.Second)
	b.becomes(cardBad)
	b.act("hanging disk", d, "")
	b.card.Hang()
	b.pass(ctx, d)
	if b.random.IntN(4) == 0 {
		return b.cut(ctx)
	}
	b.card.Heal()
	return b.thaw(ctx)
}

// thaw gives a card back that is well: one that ext4 has made read-only is
// checked and mounted anew.
func (b *board) thaw(ctx context.Context) error {
	if !b.card.Frozen() {
		b.becomes(cardWell)
		return nil
	}
	b.act("card mended with e2fsck", 0, "ext4 was read-only")
	how := []string{judge.Stopped, judge.Killed}[b.random.IntN(2)]
	b.end(ctx, how)
	if _, _, err := b.card.Cut(disk.Spare); err != nil {
		return err
	}
	if err := b.insert("-fy", 0); err != nil {
		return err
	}
	return b.again(ctx)
}

// readOnly is a card that is read-only from the start of a life on.
func (b *board) readOnly(ctx context.Context) error {
	d := between(b.random, 2*time.Second, 12*time.Second)
	b.act("read-only", d, "")
	b.end(ctx, judge.Stopped)
	if err := b.card.Eject(); err != nil {
		return err
	}
	if err := b.insert("-p", unix.MS_RDONLY); err != nil {
		return err
	}
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.meanwhile(ctx, d); err != nil {
		return err
	}
	if err := b.card.Writable(); err != nil {
		return err
	}
	b.becomes(cardWell)
	return nil
}

// flip makes one checksum of ext4 wrong: the kernel answers EBADMSG for the
// file or folder until the card is checked.
func (b *board) flip(ctx context.Context) error {
	d := between(b.random, 3*time.Second, 12*time.Second)
	b.end(ctx, judge.Stopped)
	if err := b.card.Eject(); err != nil {
		return err
	}
	path := []string{"state", "state/log", "state/lock", "state/state.db", "state/journal"}[b.random.IntN(5)]
	where, err := b.card.Flip(path)
	if err != nil {
		return err
	}
	b.act("wrong checksum of ext4", d, where)
	if err := b.insert("", 0); err != nil {
		return err
	}
	b.becomes(cardBad)
	if err := b.start(ctx); err != nil {
		return err
	}
	b.awaitFirst(ctx, 3*time.Minute)
	if err := b.meanwhile(ctx, d); err != nil {
		return err
	}
	b.end(ctx, judge.Stopped)
	if _, _, err := b.card.Cut(disk.Spare); err != nil {
		return err
	}
	if err := b.insert("-fy", 0); err != nil {
		return err
	}
	return b.again(ctx)
}
