package fs

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Flush comes at every close of a descriptor, also of a duplicate, and its
// answer is what close returns. A child that only inherited the descriptor (as
// every command of `(a; b; c) >file` does) closes it without being the one
// who wants to know: its close saves nothing, the opener's does.
// Nor does the close of a descriptor that a shell only moved, before anything
// was written through it.
func (f *FS) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	h := f.handles.file(in.Fh)
	if h == nil {
		return fuse.EIO // the mount has ended without it
	}
	if !h.write {
		return fuse.OK
	}
	var err error
	if !h.file.unknown() || h.inherited(in.Pid) || f.onlyMoved(h.file, in.Pid) {
		err = h.stale() // another descriptor's save met a conflict
	} else {
		err = h.commit(ctx)
	}
	return f.status("close", f.tree.path(h.file.node), err)
}

// Fsync returns when S3 has the whole file.
func (f *FS) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	h := f.handles.file(in.Fh)
	if h == nil {
		return fuse.EIO // the mount has ended without it
	}
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	if err := h.commit(ctx); err != nil {
		return f.status("fsync", f.tree.path(h.file.node), err)
	}
	return f.status("fsync", f.tree.path(h.file.node), f.saveAttributes(ctx, h.file.node))
}

// inherited reports whether another process than the one that opened the handle
// closes it. Where that can't be told, it does not.
func (h *handle) inherited(thread uint32) bool {
	if thread == h.opener {
		return false
	}
	by, of := processOf(thread), processOf(h.opener)
	return by != 0 && of != 0 && by != of
}

// commit saves the handle's file. Whether the handle is stale is known only once
// the saves before have ended.
func (h *handle) commit(ctx context.Context) error {
	if err := h.file.op.lock(ctx); err != nil {
		return err
	}
	defer h.file.op.unlock()
	if err := h.stale(); err != nil {
		return err
	}
	return h.file.commitLocked(ctx)
}

// onlyMoved reports whether the process that closes a descriptor of a new, still
// empty file has another one of it open: a shell's redirection opens the file,
// duplicates the descriptor to where the program will write, and closes the
// first. The close that follows is the one that saves.
func (f *FS) onlyMoved(fl *file, thread uint32) bool {
	fl.mu.Lock()
	touched := fl.touched
	fl.mu.Unlock()
	return !touched && f.dir != "" && hasOpen(thread, f.dir+f.tree.path(fl.node))
}

// commit saves the file's unsaved bytes, if there are any. On nil S3 has the
// whole content.
func (fl *file) commit(ctx context.Context) error {
	if err := fl.op.lock(ctx); err != nil {
		return err
	}
	defer fl.op.unlock()
	return fl.commitLocked(ctx)
}

// commitLocked is commit with fl.op held exclusively.
func (fl *file) commitLocked(ctx context.Context) error {
	err := fl.save(ctx)
	if isConflict(err) {
		// No later attempt can succeed: the name is somebody else's now.
		fl.rescue(err)
	}
	return err
}

// save is commitLocked that leaves what can't be saved where it is.
func (fl *file) save(ctx context.Context) error {
	if !fl.unsaved() {
		fl.adoptPublished()
		return nil
	}
	f, n := fl.fs, fl.node
	p, err := f.tree.pin(ctx, n)
	if err != nil {
		return err
	}
	if p == nil {
		// Somebody else's version has the name (an unlinked file is not unsaved).
		return fmt.Errorf("the file was replaced while it was open: %w", s3.ErrChanged)
	}
	defer p.release()
	if err := fl.learnAttributes(ctx, p.key); err != nil {
		fl.mu.Lock()
		defer fl.mu.Unlock()
		fl.failed = err
		return err
	}
	saved := n.snapshot()
	opts := fl.putOptions(p.key, saved)
	draft := fl.state().draft
	if _, begun, ok := draft.Begun(); ok && saved.posix.has&hasMtime == 0 {
		// S3 took the upload's attributes when it began. To refresh the time that
		// nobody set would cost a copy of the object onto itself.
		opts.Metadata[metaMtime] = begun.Metadata[metaMtime]
	}
	info, err := draft.Commit(ctx, p.key, opts)
	err = missingIsChanged(s3.OpPut, p.key, err) // the version that was edited, or published on the way
	fl.mu.Lock()
	fl.failed = err
	if err == nil {
		info.Attributes = opts.Attributes
		if info.LastModified.IsZero() {
			info.LastModified = f.cfg.Now()
		}
		fl.base, fl.mode = info, writeOver
	}
	mtime := fl.mtime
	fl.mu.Unlock()
	if err != nil {
		return err
	}
	if !draft.Dirty() {
		f.unsaved.remove(fl)
	}
	fl.noteSaved(info, saved, mtime)
	return nil
}

// noteSaved records that what the file is now is a version in the bucket, with
// these attributes and this time.
func (fl *file) noteSaved(info s3.Info, own owned, mtime time.Time) {
	f, n := fl.fs, fl.node
	n.written(own, info.ETag, mtime)
	if info.Size < keptPages {
		n.setCached("")
	} else {
		n.setCached(info.ETag)
	}
	f.noteName(n, info)
	if dir, _ := f.tree.place(n); dir != nil {
		f.noteDirectories(dir)
	}
}

// learnAttributes asks for those of the file's version, which a save of an edit
// keeps, if no answer has told them: that to the open of a version whose pages the
// kernel had does not, nor that to what a draft published by itself. fl.op must be
// held exclusively.
func (fl *file) learnAttributes(ctx context.Context, key string) error {
	fl.mu.Lock()
	base, mode := fl.base, fl.mode
	fl.mu.Unlock()
	if mode != writeOver || base.ETag == "" || base.Metadata != nil || base.ContentType != "" {
		return nil
	}
	info, err := fl.fs.bucket.Head(ctx, key)
	if errors.Is(err, s3.ErrNotFound) || err == nil && info.ETag != base.ETag {
		return nil // then the save is refused, or finds that the version is its own
	}
	if err != nil {
		return err
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.base.Attributes, fl.base.StorageClass = info.Attributes, info.StorageClass
	return nil
}

// published is the version that a clean draft has become by itself, before the
// file knows; nil if there is none. fl.mu must be held.
func (fl *file) published() *s3.Object {
	if fl.draft == nil || fl.orphan || fl.draft.Dirty() {
		return nil
	}
	if base := fl.draft.Base(); base != nil && base.ETag != fl.base.ETag {
		return base
	}
	return nil
}

// adoptPublished makes the version that a clean draft published by itself the
// one that the file is. fl.op must be held exclusively.
func (fl *file) adoptPublished() {
	fl.mu.Lock()
	base := fl.published()
	if base == nil {
		fl.mu.Unlock()
		return
	}
	info := s3.Info{Object: *base}
	if info.LastModified.IsZero() {
		info.LastModified = fl.fs.cfg.Now()
	}
	fl.base, fl.mode = info, writeOver
	own, mtime := fl.sent, fl.mtime
	fl.mu.Unlock()
	fl.fs.unsaved.remove(fl)
	fl.noteSaved(info, own, mtime)
}

// keptPages is the size from which it pays to ask, at the next open, only
// whether a file that was written here has changed: the kernel does not keep
// the last page of what was written unless it is full, so that small files
// would cost two requests.
const keptPages = 1 << 20

func isConflict(err error) bool { return errors.Is(err, s3.ErrChanged) || errors.Is(err, s3.ErrExists) }

// putOptions say what the object is to be, and under which condition.
func (fl *file) putOptions(key string, own owned) s3.PutOptions {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	var o s3.PutOptions
	if fl.mode == writeOver && fl.base.ETag != "" {
		o.Attributes = fl.base.Attributes
		o.StorageClass = fl.base.StorageClass
	} else {
		o.Metadata = fl.kept
	}
	o.Attributes = own.apply(o.Attributes, key, kindFile, fl.mtime)
	switch fl.mode {
	case writeOver:
		o.IfMatch = fl.base.ETag
	case writeNew:
		o.IfNoneMatch = "*"
	}
	return o
}

// takeFailure reports, once, a save that failed when nobody could be told.
func (fl *file) takeFailure() error {
	fl.node.mu.Lock()
	defer fl.node.mu.Unlock()
	err := fl.node.lost
	fl.node.lost = nil
	return err
}

// truncate sets a file's size. Without an open descriptor there will be no
// close to save it, so it is saved at once.
func (f *FS) truncate(ctx context.Context, n *node, in *fuse.SetAttrIn, size int64) error {
	if n.kind != kindFile {
		return syscall.EISDIR
	}
	if size > s3.MaxObject {
		return syscall.EFBIG
	}
	fh, byHandle := in.GetFh()
	if byHandle {
		if h := f.handles.file(fh); h != nil && h.stale() != nil {
			return h.stale()
		}
	}
	fl := f.acquire(n)
	defer fl.drop()
	if err := fl.op.lock(ctx); err != nil {
		return err
	}
	defer fl.op.unlock()
	ours := fl.state().draft == nil                             // otherwise there is more to save than this size
	if err := fl.edit(ctx, size == 0 && byHandle); err != nil { // by name, there must be a file
		return err
	}
	if in.Valid&fuse.FATTR_KILL_SUIDGID != 0 {
		fl.dropPrivileges()
	}
	if err := fl.state().draft.Truncate(ctx, size); err != nil {
		return err
	}
	fl.touch()
	if byHandle || fl.state().orphan || !fl.released(ctx, func() bool { return fl.writers == 0 }) {
		return nil // the close of who has it open saves it, unless it has no name
	}
	err := fl.save(ctx)
	if err == nil || ours {
		fl.abandonLocked(context.WithoutCancel(ctx)) // if it failed, truncate can do it again
	} // otherwise the release that is on its way keeps it
	if isConflict(err) {
		f.forgetVersion(fl)
	}
	return err
}

// dropPages has the kernel forget its pages of a file that no open is about to
// tell it of. It may wait for reads and writes that wait for fl.op, so it is
// not waited for.
func (fl *file) dropPages() {
	f, n := fl.fs, fl.node
	n.setCached("")
	f.work.Add(1)
	go func() {
		defer f.work.Done()
		f.invalidate(n, 0)
	}()
}

// edit makes sure that the file has a draft over its present content; whole
// says that nothing of that content will be kept. fl.op must be held
// exclusively.
func (fl *file) edit(ctx context.Context, whole bool) error {
	s := fl.state()
	if s.draft != nil {
		return nil
	}
	if whole && !s.orphan {
		return fl.beginWhole(ctx, false)
	}
	if s.base.ETag == "" {
		h := &handle{file: fl}
		keep, err := fl.fs.refresh(ctx, h)
		h.closeReader()
		if err != nil {
			return err
		}
		if !keep {
			fl.dropPages()
		}
	}
	fl.begin(writeOver, false)
	return nil
}
