package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/disk"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
)

var cloudFates = []fate[*cloud]{
	{"kill -9", 4, (*cloud).kill},
	{"orderly stop", 2, (*cloud).stop},
	{"pause", 2, (*cloud).pause},
	{"power cut", 4, (*cloud).cut},
	{"full disk", 1, (*cloud).fillUp},
	{"EIO", 1, (*cloud).refuse},
	{"hanging disk", 1, (*cloud).hang},
	{"copy of the cloud made", 1, (*cloud).makeCopy},
	{judge.ActRestore, 1, (*cloud).restore},
}

// suffer lets the cloud live, and be struck, until ctx ends.
func (c *cloud) suffer(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := c.pass(ctx, between(c.random, 2*time.Second, 40*time.Second)); err != nil {
			return fmt.Errorf("cloud: %w", err)
		}
		if err := pick(c.random, cloudFates).befall(c, ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("cloud: %w", err)
		}
	}
	return nil
}

// pass lets time go by. A server that ends by itself is started again, as
// systemd does.
func (c *cloud) pass(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; {
		if c.run.wait(min(time.Until(end), 500*time.Millisecond)) {
			c.act("ended by itself", 0, c.run.told())
			sleep(ctx, 2*time.Second)
			if err := c.start(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cloud) act(what string, d time.Duration, detail string) {
	c.testbed.act(judge.Act{To: "cloud", What: what, For: d, Detail: detail})
}

func (c *cloud) again(ctx context.Context) error {
	sleep(ctx, between(c.random, 0, 3*time.Second))
	return c.rise(ctx)
}

func (c *cloud) kill(ctx context.Context) error {
	c.act("kill -9", 0, "")
	c.down(syscall.SIGKILL)
	return c.again(ctx)
}

func (c *cloud) stop(ctx context.Context) error {
	c.act("orderly stop", 0, "")
	c.down(syscall.SIGTERM)
	return c.again(ctx)
}

func (c *cloud) pause(ctx context.Context) error {
	d := between(c.random, time.Second, 10*time.Second)
	c.act("pause", d, "")
	c.setWell(false)
	c.run.signal(syscall.SIGSTOP)
	sleep(ctx, d)
	c.run.signal(syscall.SIGCONT)
	c.setWell(true)
	return nil
}

func (c *cloud) cut(ctx context.Context) error {
	c.down(syscall.SIGKILL)
	loss := disk.Losses[c.random.IntN(len(disk.Losses))]
	unflushed, kept, err := c.card.Cut(loss)
	if err != nil {
		return err
	}
	c.act("power cut", 0, fmt.Sprintf("%s: %d sectors were not flushed, %d of them kept", loss, unflushed, kept))
	if err := c.insert("-p"); err != nil {
		return err
	}
	return c.again(ctx)
}

func (c *cloud) fillUp(ctx context.Context) error {
	d := between(c.random, 2*time.Second, 15*time.Second)
	c.act("full disk", d, "")
	c.setWell(false)
	if err := fill(c.ballast(), c.card.Mount, 0); err != nil {
		return err
	}
	if err := c.pass(ctx, d); err != nil {
		return err
	}
	if err := os.Remove(c.ballast()); err != nil && !errors.Is(err, unix.EROFS) {
		return err
	}
	return c.mend(ctx)
}

func (c *cloud) refuse(ctx context.Context) error {
	d := between(c.random, time.Second, 8*time.Second)
	c.act("EIO", d, "")
	c.setWell(false)
	c.card.Refuse([]float64{1, 0.3}[c.random.IntN(2)])
	err := c.pass(ctx, d)
	c.card.Heal()
	if err != nil {
		return err
	}
	return c.mend(ctx)
}

func (c *cloud) hang(ctx context.Context) error {
	d := between(c.random, time.Second, 10*time.Second)
	c.act("hanging disk", d, "")
	c.setWell(false)
	c.card.Hang()
	err := c.pass(ctx, d)
	c.card.Heal()
	if err != nil {
		return err
	}
	return c.mend(ctx)
}

// mend gives the cloud a card that works again, and starts it if it ended.
func (c *cloud) mend(ctx context.Context) error {
	if c.card.Frozen() {
		c.act("card mended with e2fsck", 0, "ext4 was read-only")
		c.down(syscall.SIGKILL)
		if _, _, err := c.card.Cut(disk.Spare); err != nil {
			return err
		}
		if err := c.insert("-fy"); err != nil {
			return err
		}
		return c.again(ctx)
	}
	if c.run.gone() {
		c.act("ended by itself", 0, c.run.told())
		return c.rise(ctx)
	}
	c.setWell(true)
	return nil
}

func (c *cloud) makeCopy(ctx context.Context) error {
	c.act("copy of the cloud made", 0, "")
	c.down(syscall.SIGTERM)
	if err := c.card.Eject(); err != nil {
		return err
	}
	c.copy, c.copied = c.testbed.path("cloud.copy"), time.Now().UTC()
	if err := errors.Join(c.card.CopyTo(c.copy), c.insert("-p")); err != nil {
		return err
	}
	return c.again(ctx)
}

func (c *cloud) restore(ctx context.Context) error {
	if c.copy == "" {
		return c.makeCopy(ctx)
	}
	c.down(syscall.SIGKILL)
	if _, _, err := c.card.Cut(disk.Forget); err != nil {
		return err
	}
	c.testbed.act(judge.Act{To: "cloud", What: judge.ActRestore, Since: c.copied})
	if err := errors.Join(c.card.PutBack(c.copy), c.insert("-p")); err != nil {
		return err
	}
	return c.again(ctx)
}
