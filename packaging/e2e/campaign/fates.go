package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

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
	b.copy, b.copied, b.copySlot = b.testbed.path(b.name+".copy"), time.Now().UTC(), b.slot
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
	b.testbed.act(judge.Act{To: b.name, What: judge.ActOld, Since: b.copied})
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
	c, err := b.testbed.double(b)
	if err != nil {
		return err
	}
	b.clones = append(b.clones, c)
	d := between(b.random, 3*time.Second, 15*time.Second)
	b.testbed.act(judge.Act{To: c.name, What: judge.ActClone, For: d, Detail: b.gateway})
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
		b.testbed.act(judge.Act{To: "line " + b.name, What: "line " + string(state), For: d})
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
