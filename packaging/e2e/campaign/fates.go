package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/disk"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/line"
)

// A fate is something that can befall a board or the cloud. An error is the
// campaign's own, and ends it.
type fate[T any] struct {
	name   string
	weight int
	befall func(t T, ctx context.Context) error
}

// pick chooses one by weight.
func pick[T any](random *rand.Rand, fates []fate[T]) fate[T] {
	total := 0
	for _, f := range fates {
		total += f.weight
	}
	n := random.IntN(total)
	for _, f := range fates {
		if n -= f.weight; n < 0 {
			return f
		}
	}
	return fates[0]
}

// between gives a time, evenly.
func between(random *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(random.Int64N(int64(to-from)+1))
}

var boardFates = []fate[*board]{
	{"kill -9", 5, (*board).kill},
	{"orderly stop", 4, (*board).stop},
	{"pause", 2, (*board).pause},
	{"power cut", 6, (*board).cut},
	{"full disk", 4, (*board).fillUp},
	{"EIO", 3, (*board).refuse},
	{"hanging disk", 2, (*board).hang},
	{"read-only", 2, (*board).readOnly},
	{"wrong checksum of ext4", 2, (*board).flip},
	{"copy of the card made", 1, (*board).makeCopy},
	{judge.ActOld, 1, (*board).old},
	{judge.ActClone, 1, (*board).clone},
}

// suffer lets a board live, and be struck, until ctx ends.
func (b *board) suffer(ctx context.Context) error {
	for b.calm(ctx); ctx.Err() == nil; b.calm(ctx) {
		if b.run == nil {
			if err := b.start(ctx); err != nil {
				return err
			}
			continue
		}
		if err := pick(b.random, boardFates).befall(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return nil
}

// calm is a time in which nothing happens; now and then long enough to drain.
func (b *board) calm(ctx context.Context) {
	if b.run != nil {
		b.awaitFirst(ctx, 3*time.Minute)
	}
	most := 4 * time.Second
	if b.random.IntN(4) == 0 {
		most = 25 * time.Second
	}
	b.pass(ctx, between(b.random, 200*time.Millisecond, most))
}

// again starts the next life after a moment.
func (b *board) again(ctx context.Context) error {
	time.Sleep(between(b.random, 0, time.Second))
	return b.start(ctx)
}

func (b *board) kill(ctx context.Context) error {
	b.act("kill -9", 0, "")
	b.end(ctx, judge.Killed)
	return b.again(ctx)
}

func (b *board) stop(ctx context.Context) error {
	b.act("orderly stop", 0, "")
	b.end(ctx, judge.Stopped)
	return b.again(ctx)
}

func (b *board) pause(ctx context.Context) error {
	d := between(b.random, 500*time.Millisecond, 8*time.Second)
	b.act("pause", d, "")
	b.run.signal(syscall.SIGSTOP)
	b.pass(ctx, d)
	if b.run != nil {
		b.run.signal(syscall.SIGCONT)
		b.paused, b.resumed = b.paused+d, time.Now()
	}
	return nil
}

func (b *board) cut(ctx context.Context) error {
	if err := b.powerCut(ctx); err != nil {
		return err
	}
	return b.again(ctx)
}

// powerCut takes the power and gives it again.
func (b *board) powerCut(ctx context.Context) error {
	loss := disk.Losses[b.random.IntN(len(disk.Losses))]
	b.end(ctx, judge.CutOff)
	unflushed, kept, err := b.card.Cut(loss)
	if err != nil {
		return err
	}
	b.act("power cut", 0, fmt.Sprintf("%s: %d sectors were not flushed, %d of them kept", loss, unflushed, kept))
	check := ""
	if b.random.IntN(2) == 0 {
		check = "-p"
	}
	return b.insert(check, 0)
}

// meanwhile does, while something is wrong with the card, nothing for d, or
// ends the life in some way and begins another.
func (b *board) meanwhile(ctx context.Context, d time.Duration) error {
	b.pass(ctx, d/2)
	switch b.random.IntN(5) {
	case 0:
		b.act("kill -9", 0, "meanwhile")
		b.end(ctx, judge.Killed)
	case 1, 2:
		b.act("orderly stop", 0, "meanwhile")
		b.end(ctx, judge.Stopped)
	}
	if b.run == nil {
		if err := b.start(ctx); err != nil {
			return err
		}
	}
	b.pass(ctx, d/2)
	if b.random.IntN(3) == 0 {
		b.act("orderly stop", 0, "meanwhile")
		b.end(ctx, judge.Stopped)
	}
	return nil
}

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

// makeCopy copies the card of a board that was stopped, or lost its power.
func (b *board) makeCopy(ctx context.Context) error {
	if err := b.copyCard(ctx); err != nil {
		return err
	}
	if err := b.insert("-p", 0); err != nil {
		return err
	}
	return b.again(ctx)
}

func (b *board) copyCard(ctx context.Context) error {
	if b.random.IntN(2) == 0 {
		b.end(ctx, judge.Stopped)
		if err := b.card.Eject(); err != nil {
			return err
		}
	} else {
		b.end(ctx, judge.CutOff)
		if _, _, err := b.card.Cut(disk.Losses[b.random.IntN(len(disk.Losses))]); err != nil {
			return err
		}
	}
	b.copy, b.copied, b.copySlot = b.world.path(b.name+".copy"), time.Now().UTC(), b.slot
	b.act("copy of the card made", 0, "")
	return b.card.CopyTo(b.copy)
}

// old puts an older copy of the card back. What only the card had goes with
// it.
func (b *board) old(ctx context.Context) error {
	if b.copy == "" {
		return b.makeCopy(ctx)
	}
	b.end(ctx, judge.Killed)
	if _, _, err := b.card.Cut(disk.Forget); err != nil {
		return err
	}
	b.world.act(judge.Act{To: b.name, What: judge.ActOld, Since: b.copied})
	if err := b.card.PutBack(b.copy); err != nil {
		return err
	}
	b.slot = b.copySlot
	if err := b.insert("-p", 0); err != nil {
		return err
	}
	return b.again(ctx)
}

// clone runs a copy of the card on a second board at the same time. It is kept
// for the end, when it has to deliver what it has.
func (b *board) clone(ctx context.Context) error {
	if len(b.clones) >= 2 {
		return b.stop(ctx)
	}
	if err := b.copyCard(ctx); err != nil {
		return err
	}
	c, err := b.world.double(b)
	if err != nil {
		return err
	}
	b.clones = append(b.clones, c)
	d := between(b.random, 3*time.Second, 15*time.Second)
	b.world.act(judge.Act{To: c.name, What: judge.ActClone, For: d, Detail: b.gateway})
	if err := errors.Join(b.insert("-p", 0), c.insert("-p", 0)); err != nil {
		return err
	}
	if err := errors.Join(b.start(ctx), c.start(ctx)); err != nil {
		return err
	}
	c.awaitFirst(ctx, 3*time.Minute)
	c.pass(ctx, d)
	b.pass(ctx, 0)
	c.end(ctx, []string{judge.Stopped, judge.Killed}[b.random.IntN(2)])
	return nil
}

// trouble makes the line of a board bad now and then, until ctx ends.
func (b *board) trouble(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		sleep(ctx, between(random, time.Second, 30*time.Second))
		state := line.Faults[random.IntN(len(line.Faults))]
		d := between(random, 500*time.Millisecond, 20*time.Second)
		b.world.act(judge.Act{To: "line " + b.name, What: "line " + string(state), For: d})
		b.line.Set(state)
		sleep(ctx, d)
		b.line.Set(line.Up)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
