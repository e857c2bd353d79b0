package disk

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A Shelf is the FUSE file system whose files are the cards that are inserted.
type Shelf struct {
	root   *fs.Inode
	server *fuse.Server
	dir    string
}

// NewShelf mounts the file system at dir.
func NewShelf(dir string) (*Shelf, error) {
	root := &fs.Inode{}
	s := &Shelf{root: root, dir: dir}
	server, err := fs.Mount(dir, root, &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, FsName: "campaign", MaxWrite: 1 << 20, DisableXAttrs: true, AllowOther: true,
	}})
	if err != nil {
		return nil, fmt.Errorf("mount FUSE: %w", err)
	}
	s.server = server
	return s, nil
}

// Close unmounts it, at once: files in use stay until they are closed.
func (s *Shelf) Close() error { return syscall.Unmount(s.dir, syscall.MNT_DETACH) }

// put makes a cache a file with this name, never used before: the kernel must
// remember nothing of an earlier insertion.
func (s *Shelf) put(name string, c *cache) string {
	child := s.root.NewPersistentInode(context.Background(), &file{cache: c}, fs.StableAttr{Mode: syscall.S_IFREG})
	s.root.AddChild(name, child, true)
	return s.dir + "/" + name
}

func (s *Shelf) take(name string) { s.root.RmChild(name) }

// A file is a cache as the kernel sees it.
type file struct {
	fs.Inode
	cache *cache
}

var (
	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeReader    = (*file)(nil)
	_ fs.NodeWriter    = (*file)(nil)
	_ fs.NodeFsyncer   = (*file)(nil)
	_ fs.NodeGetattrer = (*file)(nil)
	_ fs.NodeSetattrer = (*file)(nil)
	_ fs.NodeAllocater = (*file)(nil)
)

// Open has no handle.
func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Getattr tells the size.
func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blksize = syscall.S_IFREG|0o600, uint64(f.cache.size), 4096
	return 0
}

// Setattr changes nothing: a card keeps its size.
func (f *file) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return f.Getattr(ctx, h, out)
}

// Allocate makes the loop device offer no discard.
func (f *file) Allocate(context.Context, fs.FileHandle, uint64, uint64, uint32) syscall.Errno {
	return syscall.ENOTSUP
}

// Read gives what was written last.
func (f *file) Read(_ context.Context, _ fs.FileHandle, p []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	n, err := f.cache.read(p, at)
	return fuse.ReadResultData(p[:n]), errnoOf(err)
}

// Write keeps it in the volatile cache.
func (f *file) Write(_ context.Context, _ fs.FileHandle, p []byte, at int64) (uint32, syscall.Errno) {
	if err := f.cache.write(p, at); err != nil {
		return 0, errnoOf(err)
	}
	return uint32(len(p)), 0
}

// Fsync is a flush of the card's cache.
func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return errnoOf(f.cache.flush())
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno):
		return errno
	}
	return syscall.EIO
}
