package fs

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

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

func (f *FS) entryOut(n *node, e entry, left time.Duration, out *fuse.EntryOut) {
	out.NodeId = n.id
	out.Generation = 1
	out.SetEntryTimeout(left)
	out.SetAttrTimeout(left)
	f.attr(n, e, &out.Attr)
}
