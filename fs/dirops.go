package fs

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
)

// Mkdir leaves a marker object, so that the directory is there for everybody
// and lasts while it is empty.
func (f *FS) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	dir := f.tree.get(in.NodeId)
	if dir == nil {
		return fuse.Status(syscall.ESTALE)
	}
	n, e, err := f.mkdir(ctx, dir, in, name)
	if err != nil {
		return f.status("mkdir", f.tree.path(dir)+"/"+name, err)
	}
	f.entryOut(n, e, f.cfg.TTL, out)
	return fuse.OK
}

func (f *FS) mkdir(ctx context.Context, dir *node, in *fuse.MkdirIn, name string) (*node, entry, error) {
	part, err := f.newName(ctx, dir, name)
	if err != nil {
		return nil, entry{}, err
	}
	p, err := f.tree.pin(ctx, dir)
	if err != nil || p == nil {
		return nil, entry{}, gone(err)
	}
	defer p.release()
	e := entry{kind: kindDir, part: part + "/"}
	own := owned{posix: posix{has: hasMode | hasUID | hasGID, mode: in.Mode & 0o7777, uid: in.Uid, gid: in.Gid}}
	key := p.key + e.part
	attrs := own.apply(s3.Attributes{}, key, kindDir, f.cfg.Now())
	_, left, known := f.names.Lookup(p.key, name)
	_, err = f.bucket.Put(ctx, key, bytes.NewReader(nil), s3.PutOptions{Attributes: attrs, IfNoneMatch: "*"})
	if err != nil {
		f.names.Drop(p.key, name)
		return nil, entry{}, err
	}
	if known == cache.Absent { // somebody else may have put something there since that was found
		f.names.Made(key, left)
	}
	f.names.Put(key, markerName, entry{})
	f.names.Put(p.key, name, e)
	f.noteDirectories(dir)
	n := f.tree.add(dir, name, e)
	n.mu.Lock()
	n.own = &own
	n.mu.Unlock()
	return n, e, nil
}

// gone is the error of an operation in a directory that is not there any more.
func gone(err error) error {
	if err != nil {
		return err
	}
	return syscall.ENOENT
}

// Mknod makes regular files only.
func (f *FS) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	if in.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return fuse.EPERM
	}
	create := &fuse.CreateIn{InHeader: in.InHeader, Flags: syscall.O_WRONLY | syscall.O_EXCL, Mode: in.Mode}
	var co fuse.CreateOut
	if st := f.Create(cancel, create, name, &co); !st.Ok() {
		return st
	}
	h := f.handles.file(co.Fh)
	err := h.file.commit(ctx)
	f.Release(cancel, &fuse.ReleaseIn{Fh: co.Fh})
	*out = co.EntryOut
	return f.status("mknod", name, err)
}

// remove deletes one object and sees to it that its directory stays.
func (f *FS) remove(ctx context.Context, dir *node, prefix, name string, object s3.Target) error {
	if err := f.keepDirectory(ctx, dir, prefix, name); err != nil {
		return err
	}
	defer f.siblings.drop(object.Key)
	if err := f.bucket.Delete(ctx, object); err != nil {
		f.names.Drop(prefix, name)
		return err
	}
	f.names.PutAbsent(prefix, name)
	return nil
}

// keepDirectory leaves a marker in a directory that would vanish with its last
// name. What is known of the directory decides; what is not is asked with the
// same listing that a lookup would need.
func (f *FS) keepDirectory(ctx context.Context, dir *node, prefix, leaving string) error {
	if dir.id == rootIno || !strings.HasSuffix(prefix, "/") {
		return nil
	}
	others, known := f.names.Others(prefix, leaving) // another name, or the marker itself
	if !known && f.names.Partial(prefix) {
		return nil // more than a page of names
	}
	if !known {
		names, err := f.firstPage(ctx, prefix, dir.lead)
		if err != nil {
			return err
		}
		others = slices.ContainsFunc(names, func(e cache.Named[entry]) bool { return e.Name != leaving })
	}
	if others {
		return nil
	}
	attrs := newAttributes(prefix)
	_, err := f.bucket.Put(ctx, prefix, bytes.NewReader(nil), s3.PutOptions{Attributes: attrs, IfNoneMatch: "*"})
	if err != nil && !errors.Is(err, s3.ErrExists) {
		return err
	}
	f.names.Put(prefix, markerName, entry{})
	f.noteDirectories(dir)
	return nil
}

// noteDirectories records that dir is there, and what it is in: something has
// been made in it. Somebody else may have emptied them a moment ago.
func (f *FS) noteDirectories(dir *node) {
	for dir != nil && dir.id != rootIno {
		parent, name := f.tree.place(dir)
		if parent == nil {
			return
		}
		prefix, ok := f.tree.key(parent)
		if !ok {
			return
		}
		if _, _, v := f.names.Lookup(prefix, name); v == cache.Absent {
			f.names.Put(prefix, name, entry{kind: kindDir, part: dir.part})
		} // otherwise those above may have been looked at since
		dir = parent
	}
}

// Rmdir removes an empty directory.
func (f *FS) Rmdir(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	ctx := f.changing(cancel, header.Pid)
	defer ctx.end()
	dir := f.tree.get(header.NodeId)
	if dir == nil {
		return fuse.Status(syscall.ESTALE)
	}
	return f.status("rmdir", f.tree.path(dir)+"/"+name, f.rmdir(ctx, dir, name))
}

func (f *FS) rmdir(ctx context.Context, dir *node, name string) error {
	if err := f.frozen(ctx, dir); err != nil {
		return err
	}
	p, err := f.tree.pin(ctx, dir)
	if err != nil || p == nil {
		return gone(err)
	}
	defer p.release()
	e, _, err := f.stat(ctx, dir, name)
	if errors.Is(err, errNoName) && f.unsavedDirs()[f.tree.child(dir, name)] {
		return syscall.ENOTEMPTY
	}
	if err != nil {
		return err
	}
	if e.kind != kindDir {
		return syscall.ENOTDIR
	}
	if e.part == SnapshotsPart {
		return syscall.EROFS
	}
	prefix := p.key + e.part
	n := f.tree.child(dir, name)
	if _, err := f.mustBeEmpty(ctx, n, prefix); err != nil {
		return err
	}
	if !strings.HasSuffix(prefix, "/") {
		return syscall.ENOTEMPTY // an @s3+ directory is there only while something is in it
	}
	f.names.DropTree(prefix)
	if err := f.remove(ctx, dir, p.key, name, s3.Target{Key: prefix}); err != nil {
		return err
	}
	if n != nil {
		f.tree.unlink(n)
	}
	return nil
}

// mustBeEmpty asks the bucket: only an answer from now may decide that a
// directory goes. It returns whether there is a marker.
func (f *FS) mustBeEmpty(ctx context.Context, n *node, prefix string) (marker bool, err error) {
	if n != nil && len(f.unsavedNames(n, nil, false)) > 0 {
		return false, syscall.ENOTEMPTY
	}
	page, err := f.bucket.ListPage(ctx, s3.ListInput{Prefix: prefix, Max: 2})
	if err != nil {
		return false, err
	}
	for _, o := range page.Objects {
		if o.Key != prefix || o.Size > 0 {
			return false, syscall.ENOTEMPTY
		}
	}
	return len(page.Objects) > 0, nil
}
