package jetstream

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// After a write that failed, the embedded server refuses all further ones until
// it is opened anew. So it is not let near a full disk: what would be written
// is refused before, while some room is left, and reading goes on.
const (
	minDiskFree     = 64 << 20 // bytes of the disk that records leave free, or …
	diskFreePart    = 16       // … one part in so many, if that is less
	docDiskFreePart = 4        // documents leave one part in so many of these
)

// Full says why the log takes no records for want of room on its disk, or nil.
// The error is record.ErrFull. On a cluster it is nil: its servers tell.
func (l *Log) Full() error { return l.fullBelow(1) }

// fullBelow tells likewise, with one part in so many of the room.
func (l *Log) fullBelow(part int64) error {
	if l.server == nil {
		return nil
	}
	free, all, err := diskOf(l.opt.Dir)
	if err != nil {
		return fmt.Errorf("%w: look at the disk: %w", record.ErrUnavailable, err)
	}
	if kept := min(minDiskFree, all/diskFreePart) / part; free < kept {
		return fmt.Errorf("%w: the disk of %s has %d KiB left, and %d KiB are kept free: make room there; "+
			"what is stored can be read meanwhile, and the gateways keep the rest",
			record.ErrFull, l.opt.Dir, free>>10, kept>>10)
	}
	return nil
}

// Fit sets the limits of the streams anew, by the room that the disk has now.
func (l *Log) Fit(ctx context.Context) error {
	if l.server == nil {
		return nil
	}
	space, err := l.space()
	if err != nil {
		return err
	}
	return l.openStreams(ctx, space)
}

// diskOf gives how many bytes are free on the file system under dir, and how
// many it has.
func diskOf(dir string) (free, all int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: filepath.Clean(dir), Err: err}
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}
