package fs

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// Open asks the bucket for the file as it is now: see [FS.refresh].
func (f *FS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ctx := f.asking(cancel, in.Pid)
	defer ctx.end()
	n := f.tree.get(in.NodeId)
	if n == nil || n.kind != kindFile {
		return fuse.Status(syscall.ESTALE)
	}
	h, flags, err := f.open(ctx, n, in.Flags, in.Pid)
	if err != nil {
		return f.status("open", f.tree.path(n), err)
	}
	out.Fh = f.handles.add(h)
	out.OpenFlags = flags
	return fuse.OK
}

func (f *FS) open(ctx context.Context, n *node, flags, pid uint32) (*handle, uint32, error) {
	h := newHandle(flags, pid)
	if h.write {
		if err := f.frozen(ctx, n); err != nil {
			return nil, 0, err
		}
	}
	fl := f.acquire(n)
	h.file = fl
	if err := fl.op.lock(ctx); err != nil {
		fl.drop()
		return nil, 0, err
	}
	defer fl.op.unlock()
	keep, err := f.openLocked(ctx, h, flags)
	if err != nil {
		h.closeReader()
		fl.drop()
		return nil, 0, err
	}
	fl.enter(h)
	if keep {
		return h, fuse.FOPEN_KEEP_CACHE, nil
	}
	return h, 0, nil
}

func newHandle(flags, pid uint32) *handle {
	acc := flags & syscall.O_ACCMODE
	return &handle{
		read:   acc == syscall.O_RDONLY || acc == syscall.O_RDWR,
		write:  acc == syscall.O_WRONLY || acc == syscall.O_RDWR,
		append: flags&syscall.O_APPEND != 0,
		opener: pid,
	}
}

// openLocked decides which content the handle opens. keep tells that the
// kernel's cached pages of the file are still right.
func (f *FS) openLocked(ctx context.Context, h *handle, flags uint32) (keep bool, err error) {
	fl := h.file
	if err := fl.takeFailure(); err != nil {
		return false, err
	}
	fl.adoptPublished() // or this mount's own version would be taken for somebody else's
	s := fl.state()
	switch {
	case h.write && flags&syscall.O_TRUNC != 0:
		return false, fl.replace(ctx, sequential(flags))
	case s.orphan && s.draft == nil:
		return false, syscall.ESTALE // removed before this open had its turn, and nothing was kept
	case s.orphan, s.draft != nil && s.draft.Dirty():
		return true, nil // what this mount wrote is what is there
	}
	return f.refresh(ctx, h)
}

// enter makes the handle one of the file's.
func (fl *file) enter(h *handle) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	h.epoch = fl.epoch
	fl.handles++
	if h.write {
		fl.writers++
	}
}

// sequential guesses from an open's flags that the program will write the file
// once from start to end. mkstemp(3), and with it rsync, opens for reading, too.
func sequential(flags uint32) bool {
	return flags&syscall.O_ACCMODE == syscall.O_WRONLY || flags&syscall.O_EXCL != 0
}

// replace starts a new, empty content. fl.op must be held exclusively.
func (fl *file) replace(ctx context.Context, sequential bool) error {
	if s := fl.state(); s.draft != nil {
		fl.touch()
		return s.draft.Truncate(ctx, 0)
	}
	return fl.beginWhole(ctx, sequential)
}

// refresh asks the bucket which version the object is now. It is one GET,
// whose first bytes the handle will read, or a "not modified" where the kernel
// has the pages of that version already. fl.op must be held exclusively.
func (f *FS) refresh(ctx context.Context, h *handle) (keep bool, err error) {
	fl, n := h.file, h.file.node
	key, ok := f.tree.key(n)
	if !ok {
		return false, syscall.ESTALE
	}
	known := fl.state().base
	hint := known.Object
	if hint.ETag == "" {
		hint = f.remembered(n, key)
	}
	var have string
	if hint.ETag == n.cached() || known.ETag != "" && known.Size >= keptPages {
		have = hint.ETag // of another version not even the size is known
	}
	ask := f.xfer.Open
	if f.cfg.ReadAheadFiles && h.read && !h.write {
		ask = func(ctx context.Context, key string, hint s3.Object, have string) (*transfer.Reader, s3.Info, bool, error) {
			return f.openObject(ctx, n, key, hint, have)
		}
	}
	reader, info, same, err := ask(ctx, key, hint, have)
	if errors.Is(err, s3.ErrNotFound) {
		f.forgetName(n)
		return false, syscall.ESTALE // the kernel looks again and finds what is there now, if anything
	}
	if err != nil {
		return false, err
	}
	if same {
		info = f.sameVersion(known, hint, have, key)
	}
	if known.ETag != "" && known.ETag != info.ETag {
		// Others have the version before open here: they keep this inode.
		reader.Close()
		f.noteName(n, info)
		return false, syscall.ESTALE
	}
	h.reader = reader
	f.adopt(fl, info)
	if same && f.cfg.Posix { // the answer did not tell the mode that is to be shown
		if err := fl.learnAttributes(ctx, key); err != nil {
			return false, err
		}
	}
	if !same && (hint.Size != info.Size || hint.ETag != info.ETag) {
		f.noteName(n, info)
		f.invalidate(n, -1) // the kernel's size and times are old
	}
	return n.setCached(info.ETag), nil
}

// sameVersion is what is known of the version that the bucket says has not
// changed.
func (f *FS) sameVersion(known s3.Info, hint s3.Object, etag, key string) s3.Info {
	if known.ETag == etag {
		return known
	}
	hint.Key, hint.ETag = key, etag
	return s3.Info{Object: hint}
}

// adopt makes a version the one that the file is.
func (f *FS) adopt(fl *file, info s3.Info) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.base.ETag != info.ETag || fl.base.Metadata == nil {
		fl.base = info
	}
}

// remembered is what a listing told about a node, for a hint.
func (f *FS) remembered(n *node, key string) s3.Object {
	dir, name := f.tree.place(n)
	if dir == nil {
		return s3.Object{}
	}
	prefix, _ := f.tree.key(dir)
	e, _, v := f.names.Lookup(prefix, name)
	if v != cache.Present || e.kind != kindFile {
		return s3.Object{}
	}
	o := e.object(prefix)
	o.Key = key
	return o
}

// noteName remembers what a request told about a node's name.
func (f *FS) noteName(n *node, info s3.Info) {
	dir, name := f.tree.place(n)
	if dir == nil {
		return
	}
	if prefix, ok := f.tree.key(dir); ok {
		f.siblings.drop(prefix + n.part)
		e := entry{kind: n.kind, part: n.part, size: info.Size, etag: info.ETag, mtime: info.LastModified, class: info.StorageClass}
		if info.Metadata != nil {
			p := parsePosix(info.Metadata)
			e.posix = &p
		}
		f.names.Put(prefix, name, e)
	}
}

func (f *FS) forgetName(n *node) {
	dir, name := f.tree.place(n)
	if dir == nil {
		return
	}
	if prefix, ok := f.tree.key(dir); ok {
		f.names.PutAbsent(prefix, name)
	}
}

// touch records a change of the content: the file is unsaved, and its time is
// now.
func (fl *file) touch() {
	fl.fs.unsaved.add(fl)
	fl.mu.Lock()
	fl.mtime, fl.touched = fl.fs.cfg.Now(), true
	fl.mu.Unlock()
	fl.node.timeIsNew()
}
