package fs

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// blockSize is st_blksize: how much cp and others move at once. It is the
// largest request that the kernel sends.
const blockSize = 1 << 20

// openEntry is what an open file's version says.
func (f *FS) openEntry(n *node, s state) entry {
	e := entry{kind: kindFile, part: n.part, size: s.base.Size, etag: s.base.ETag, mtime: s.base.LastModified, drafted: s.draft != nil}
	if f.cfg.Posix && s.base.Metadata != nil {
		p := parsePosix(s.base.Metadata)
		e.posix = &p
	}
	return e
}

// GetAttr is fstat(2) and stat(2) of a node that the kernel knows.
func (f *FS) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	ctx := f.asking(cancel, in.Pid)
	defer ctx.end()
	n := f.tree.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	e, left, err := f.statNode(ctx, n)
	if err != nil {
		return f.status("getattr", f.tree.path(n), err)
	}
	out.SetTimeout(left)
	f.attr(n, e, &out.Attr)
	return fuse.OK
}

// statNode tells what a node is now. An open file is what its handles read.
func (f *FS) statNode(ctx context.Context, n *node) (entry, time.Duration, error) {
	if n.id == rootIno {
		return entry{kind: kindDir}, f.cfg.TTL, nil
	}
	if fl := f.opened(n); fl != nil {
		defer fl.drop()
		if s := fl.state(); s.draft != nil || s.base.ETag != "" {
			return f.openEntry(n, s), f.cfg.TTL, nil
		}
	}
	dir, name := f.tree.place(n)
	if dir == nil {
		return entry{}, 0, syscall.ESTALE
	}
	at := n.saved()
	e, left, err := f.stat(ctx, dir, name)
	e.etag = n.sinceThen(at, e.etag)
	if errors.Is(err, errNoName) && f.unsavedDirs()[n] {
		return entry{kind: kindDir, part: n.part}, 0, nil
	}
	if err == nil && e.kind != n.kind {
		return e, 0, syscall.ESTALE
	}
	return e, left, err
}

// attr fills in stat(2)'s answer: what this mount did to the file goes before
// what the metadata says, and that before the mount's own defaults.
func (f *FS) attr(n *node, e entry, out *fuse.Attr) {
	*out = fuse.Attr{Ino: n.ino, Nlink: 1, Size: uint64(e.size), Blksize: blockSize}
	base := posix{has: hasMode | hasUID | hasGID | hasMtime, mode: f.cfg.FileMode, uid: f.cfg.UID, gid: f.cfg.GID, mtime: e.mtime}
	switch n.kind {
	case kindDir:
		base.mode = f.cfg.DirMode
		if base.mtime.IsZero() {
			base.mtime = f.began
		}
	case kindLink:
		base.mode = 0o777
	}
	if e.posix != nil {
		base = e.posix.over(base)
	}
	var draftOf *file
	f.tree.mu.Lock()
	draftOf = n.file
	if n.parent == nil && n.id != rootIno {
		out.Nlink = 0
	}
	f.tree.mu.Unlock()
	if draftOf != nil {
		if s := draftOf.state(); s.draft != nil {
			e.drafted = true
			out.Size = uint64(s.draft.Size())
			base.mtime = s.mtime
		}
	}
	p, atime := n.overlay(e.version())
	p = p.over(base)
	if atime.IsZero() {
		atime = p.mtime
	}
	out.Blocks = (out.Size + 511) / 512
	out.Mode = modeType(n.kind) | p.mode
	out.Owner = fuse.Owner{Uid: p.uid, Gid: p.gid}
	out.SetTimes(&atime, &p.mtime, &p.mtime)
}

// SetAttr is chmod, chown, utimens and truncate.
func (f *FS) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	n := f.tree.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	if err := f.frozen(ctx, n); err != nil {
		return f.status("setattr", f.tree.path(n), err)
	}
	if size, ok := in.GetSize(); ok {
		if err := f.truncate(ctx, n, in, int64(size)); err != nil {
			return f.status("truncate", f.tree.path(n), err)
		}
	}
	if err := f.setPosix(ctx, n, in); err != nil {
		return f.status("setattr", f.tree.path(n), err)
	}
	e, left, err := f.statNode(ctx, n)
	if err != nil {
		return f.status("setattr", f.tree.path(n), err)
	}
	out.SetTimeout(left)
	f.attr(n, e, &out.Attr)
	return fuse.OK
}

// setPosix remembers a change of mode, owner or times. It reaches the bucket
// with the next commit or rename, or by itself a moment later (pending.go).
func (f *FS) setPosix(ctx context.Context, n *node, in *fuse.SetAttrIn) error {
	mode, setMode := in.GetMode()
	uid, setUID := in.GetUID()
	gid, setGID := in.GetGID()
	mtime, setMtime := in.GetMTime()
	atime, setAtime := in.GetATime()
	if !(setMode || setUID || setGID || setMtime || setAtime) {
		return nil
	}
	at := n.saved()
	e, _, err := f.statNode(ctx, n)
	if err != nil {
		return err
	}
	if setAtime { // kept while the node lives; S3 has no place for it
		n.mu.Lock()
		n.ownOf(e.version()).atime = atime
		n.mu.Unlock()
	}
	if !(setMode || setUID || setGID || setMtime) {
		return nil
	}
	f.change(n, e.version(), at, func(o *owned) {
		if setMode {
			o.posix.mode, o.posix.has = mode&0o7777, o.posix.has|hasMode
		}
		if (setUID || setGID) && !setMode && n.kind == kindFile {
			o.posix = o.posix.unprivileged()
		}
		if setUID {
			o.posix.uid, o.posix.has = uid, o.posix.has|hasUID
		}
		if setGID {
			o.posix.gid, o.posix.has = gid, o.posix.has|hasGID
		}
		if setMtime {
			o.posix.mtime, o.posix.has = mtime, o.posix.has|hasMtime
		}
	})
	return nil
}
