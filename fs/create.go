package fs

import (
	"context"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
)

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
	if exclusive && f.cfg.ExclusiveAtOpen {
		if err := fl.commit(ctx); err != nil {
			f.tree.unlink(n)
			f.tree.forget(n.id, 1)
			fl.abandon(ctx)
			fl.drop()
			return nil, err
		}
	}
	fl.enter(h)
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
