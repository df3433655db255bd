package fs

import (
	"context"
	"errors"
	"maps"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// blockSize is st_blksize: how much cp and others move at once. It is the
// largest request that the kernel sends.
const blockSize = 1 << 20

// Lookup is stat(2)'s question: what is this name?
func (f *FS) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	ctx := f.asking(cancel, header.Pid)
	defer ctx.end()
	dir := f.tree.get(header.NodeId)
	if dir == nil {
		return fuse.Status(syscall.ESTALE)
	}
	if len(name) > maxName {
		return fuse.Status(syscall.ENAMETOOLONG)
	}
	known, at := f.tree.child(dir, name), 0
	if known != nil {
		at = known.saved()
	}
	n, e, left, err := f.resolve(ctx, dir, name)
	if err != nil {
		st := f.status("lookup", f.tree.path(dir)+"/"+name, err)
		if st == fuse.ENOENT && left > 0 {
			out.SetEntryTimeout(left) // NodeId 0: the kernel may remember that there is none
			return fuse.OK
		}
		return st
	}
	if n == known {
		e.etag = n.sinceThen(at, e.etag)
	}
	f.entryOut(n, e, left, out)
	return fuse.OK
}

// resolve finds the node of a name and counts a lookup of it.
func (f *FS) resolve(ctx context.Context, dir *node, name string) (*node, entry, time.Duration, error) {
	if n, e, ok := f.unsavedChild(dir, name); ok {
		return n, e, f.cfg.TTL, nil
	}
	before := f.openVersion(dir, name)
	e, left, err := f.stat(ctx, dir, name)
	if errors.Is(err, errNoName) {
		if n, e, ok := f.unsavedDir(dir, name); ok {
			return n, e, 0, nil
		}
	}
	if err != nil {
		return nil, e, left, err
	}
	f.detachReplaced(dir, name, before, e)
	return f.tree.learn(dir, name, e), e, left, nil
}

// unsavedChild finds a name whose content the bucket does not have yet: what
// this mount wrote is what is there.
func (f *FS) unsavedChild(dir *node, name string) (*node, entry, bool) {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	n := dir.children[name]
	if n == nil || n.file == nil || !n.file.unknown() {
		return nil, entry{}, false
	}
	n.lookups++
	return n, f.openEntry(n, n.file.state()), true
}

// unsavedDir finds a directory that the bucket does not have, because somebody
// else removed what was in it, while a file in it waits to be saved.
func (f *FS) unsavedDir(dir *node, name string) (*node, entry, bool) {
	if f.tree.child(dir, name) == nil {
		return nil, entry{}, false
	}
	holding := f.unsavedDirs()
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	n := dir.children[name]
	if n == nil || !holding[n] {
		return nil, entry{}, false
	}
	n.lookups++
	return n, entry{kind: kindDir, part: n.part}, true
}

// unsavedDirs is all directories with an unsaved file somewhere in them.
func (f *FS) unsavedDirs() map[*node]bool {
	files := f.unsaved.list()
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	holding := map[*node]bool{}
	for _, fl := range files {
		for n := fl.node.parent; n != nil && !holding[n]; n = n.parent {
			holding[n] = true
		}
	}
	return holding
}

// openEntry is what an open file's version says.
func (f *FS) openEntry(n *node, s state) entry {
	e := entry{kind: kindFile, part: n.part, size: s.base.Size, etag: s.base.ETag, mtime: s.base.LastModified, drafted: s.draft != nil}
	if f.cfg.Posix && s.base.Metadata != nil {
		p := parsePosix(s.base.Metadata)
		e.posix = &p
	}
	return e
}

// openVersion is the ETag of the version that a name's file is open in; empty if
// it is not open.
func (f *FS) openVersion(dir *node, name string) string {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	if n := dir.children[name]; n != nil && n.file != nil {
		return n.file.state().base.ETag
	}
	return ""
}

// detachReplaced takes the name from an inode that is open here while the
// bucket has another version under it now. Whoever has it open keeps the old
// version; the name gets a new inode. before is the version that the file was
// open in when the bucket was asked: if this mount has saved it since, the
// answer is older than that.
func (f *FS) detachReplaced(dir *node, name, before string, e entry) {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	n := dir.children[name]
	if n == nil || n.file == nil || e.kind != kindFile || e.etag == "" {
		return
	}
	s := n.file.state()
	clean := !s.orphan && (s.draft == nil || !s.draft.Dirty())
	if clean && s.base.ETag != "" && s.base.ETag == before && s.base.ETag != e.etag && !n.isRewriting() {
		f.tree.unlinkLocked(n)
	}
}

func (f *FS) entryOut(n *node, e entry, left time.Duration, out *fuse.EntryOut) {
	out.NodeId = n.id
	out.Generation = 1
	out.SetEntryTimeout(left)
	out.SetAttrTimeout(left)
	f.attr(n, e, &out.Attr)
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

// version is which content of a node attributes belong to. That of a directory
// is always the same.
type version struct {
	etag    string
	drafted bool // a content that this mount has yet to save
}

func (e entry) version() version { return version{e.etag, e.drafted} }

// owns tells whether what this mount did to the attributes counts for v: what it
// did to a version that somebody else replaced went with that. n.mu must be held.
func (n *node) owns(v version) bool {
	return n.own != nil && (v.drafted || n.rewriting || v.etag == n.own.etag)
}

// sinceThen is what became of a version that the bucket told of: this mount may
// have saved it while the answer was on its way. at is what n.saved was before the
// bucket was asked. After that, it is somebody else's who has brought it back.
func (n *node) sinceThen(at int, etag string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.saves != at && n.own != nil && etag != "" && etag == n.own.was {
		return n.own.etag
	}
	return etag
}

// ownOf is what this mount did to v, made if need be. n.mu must be held.
func (n *node) ownOf(v version) *owned {
	if !n.owns(v) {
		n.own = &owned{etag: v.etag}
	}
	return n.own
}

// overlay is what this mount did to the attributes of v.
func (n *node) overlay(v version) (posix, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.owns(v) {
		return posix{}, time.Time{}
	}
	return n.own.posix, n.own.atime
}

// disown forgets what this mount did to a version that is gone.
func (n *node) disown(o owned) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own != nil && n.own.etag == o.etag {
		n.own = nil
	}
}

// timeIsNew forgets the time that was set, because the content has changed since.
func (n *node) timeIsNew() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own != nil {
		n.own.posix.has &^= hasMtime
	}
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

// written records, after a save, which version the node's attributes belong
// to. It keeps as dirty what changed while the save was on its way.
func (n *node) written(saved owned, etag string, mtime time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own == nil {
		n.own = &owned{}
	}
	if n.own.etag != etag {
		n.own.was, n.own.etag = n.own.etag, etag
	}
	n.saves++
	n.own.dirty = !saved.same(n.own)
	if n.own.posix.has&hasMtime == 0 {
		n.own.posix.mtime, n.own.posix.has = mtime, n.own.posix.has|hasMtime
	}
}

// snapshot is the node's own attributes as they are now.
func (n *node) snapshot() owned {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own == nil {
		return owned{}
	}
	o := *n.own
	o.xattr, o.gone = maps.Clone(o.xattr), maps.Clone(o.gone)
	return o
}

func (o *owned) same(b *owned) bool {
	return o.posix == b.posix && maps.Equal(o.xattr, b.xattr) && maps.Equal(o.gone, b.gone)
}
