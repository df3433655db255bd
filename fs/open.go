package fs

import (
	"context"
	"errors"
	"strings"
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
	s := fl.state()
	switch {
	case h.write && flags&syscall.O_TRUNC != 0:
		return false, fl.replace(ctx, sequential(flags))
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
	have := known.ETag
	if have == "" && hint.ETag != "" && hint.ETag == n.cached() {
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

// Create opens a file that is not there yet. The bucket hears of it when the
// first close or fsync saves it.
func (f *FS) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	dir := f.tree.get(in.NodeId)
	if dir == nil {
		return fuse.Status(syscall.ESTALE)
	}
	h, err := f.create(ctx, dir, in, name, &out.EntryOut)
	if err != nil {
		return f.status("create", f.tree.path(dir)+"/"+name, err)
	}
	out.Fh = f.handles.add(h)
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

func (f *FS) create(ctx context.Context, dir *node, in *fuse.CreateIn, name string, out *fuse.EntryOut) (*handle, error) {
	part, err := f.newName(ctx, dir, name)
	if err != nil {
		return nil, err
	}
	exclusive := in.Flags&syscall.O_EXCL != 0
	mode := writeWhole
	if exclusive || in.Flags&syscall.O_TRUNC == 0 {
		mode = writeNew // who only appends must not replace what others made since the kernel looked
	}
	e := entry{kind: kindFile, part: part}
	n := f.tree.add(dir, name, e)
	n.mu.Lock()
	n.own = &owned{posix: posix{has: hasMode | hasUID | hasGID, mode: in.Mode & 0o7777, uid: in.Uid, gid: in.Gid}, dirty: true}
	n.mu.Unlock()
	fl := f.acquire(n)
	fl.begin(mode, sequential(in.Flags))
	h := newHandle(in.Flags, in.Pid)
	h.file = fl
	fl.enter(h)
	if exclusive && f.cfg.ExclusiveAtOpen {
		if err := fl.commit(ctx); err != nil {
			f.tree.unlink(n)
			f.tree.forget(n.id, 1)
			fl.abandon(ctx)
			fl.drop()
			return nil, err
		}
	}
	f.entryOut(n, e, f.cfg.TTL, out)
	return h, nil
}

// newName checks that a name may be made in a directory and returns its part
// of the key.
func (f *FS) newName(ctx context.Context, dir *node, name string) (part string, err error) {
	if err := f.frozen(ctx, dir); err != nil {
		return "", err
	}
	if len(name) > maxName {
		return "", syscall.ENAMETOOLONG
	}
	part, form, ok := parseName(name)
	if !ok || form == formLong || (form == formObject) || len(part) > maxName {
		return "", syscall.EINVAL
	}
	if strings.HasSuffix(part, linkSuffix) {
		return "", syscall.EINVAL // it would be a symbolic link to everybody else
	}
	prefix, ok := f.tree.key(dir)
	if !ok {
		return "", syscall.ENOENT
	}
	if prefix+part == "" {
		return "", syscall.EINVAL // no object has an empty key
	}
	if len(prefix)+len(part)+len(linkSuffix) > s3.MaxKeyLength {
		return "", syscall.ENAMETOOLONG
	}
	return part, nil
}

// Release ends a handle. Nothing it does can be told to the program, so what
// is still unsaved here (see doc.go) is saved in the background.
func (f *FS) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	h, _ := f.handles.remove(in.Fh).(*handle)
	if h == nil {
		return
	}
	h.closeReader()
	fl := h.file
	if !h.write || !fl.leave(h) || fl.state().draft == nil {
		fl.drop()
		return
	}
	if !fl.unsaved() {
		fl.settle(f.life)
		fl.drop()
		return
	}
	f.work.Add(1)
	go func() {
		defer f.work.Done()
		fl.settle(f.life)
		fl.drop()
	}()
}

// leave takes a writer's handle from the file's, and reports whether it was the
// last. A stale one is none of them any more.
func (fl *file) leave(h *handle) bool {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if h.epoch != fl.epoch {
		return false
	}
	fl.writers--
	return fl.writers == 0
}

// settle ends a draft whose last writer is gone: it is saved, or kept in the
// recovery directory.
func (fl *file) settle(ctx context.Context) {
	if err := fl.op.lock(context.WithoutCancel(ctx)); err != nil {
		return
	}
	defer fl.op.unlock()
	fl.mu.Lock()
	busy, failed, draft := fl.writers > 0, fl.failed, fl.draft
	unlinked := fl.orphan // its draft is all there is of it: it goes with the last descriptor
	fl.mu.Unlock()
	if busy || unlinked || draft == nil {
		return
	}
	if fl.unsaved() && (failed == nil || toErrno(failed) == syscall.EINTR) {
		if failed = fl.commitLocked(ctx); failed != nil {
			fl.node.tell(failed)
		}
	}
	if fl.unsaved() {
		fl.rescue(failed)
		return
	}
	fl.adoptPublished()
	fl.abandonLocked(context.WithoutCancel(ctx))
}

// abandon throws the draft away.
func (fl *file) abandon(ctx context.Context) {
	if err := fl.op.lock(context.WithoutCancel(ctx)); err != nil {
		return
	}
	defer fl.op.unlock()
	fl.abandonLocked(ctx)
}

func (fl *file) abandonLocked(ctx context.Context) {
	if d := fl.takeDraft(); d != nil {
		fl.discard(ctx, d)
	}
}

func (fl *file) discard(ctx context.Context, d *transfer.Draft) {
	if err := d.Discard(ctx); err != nil {
		fl.fs.log.Warn("discarding unsaved bytes", "err", err)
	}
}

func (fl *file) takeDraft() *transfer.Draft {
	fl.mu.Lock()
	d := fl.draft
	fl.draft = nil
	fl.mu.Unlock()
	fl.fs.unsaved.remove(fl)
	return d
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
