package fs

import (
	"context"
	"io"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
)

// maxTarget is Linux's limit of a link's target, PATH_MAX without the NUL.
const maxTarget = 4095

// Symlink writes the target as the content of NAME.rclonelink.
func (f *FS) Symlink(cancel <-chan struct{}, header *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	ctx := f.changing(cancel, header.Pid)
	defer ctx.end()
	dir := f.tree.get(header.NodeId)
	if dir == nil {
		return fuse.Status(syscall.ESTALE)
	}
	n, e, err := f.symlink(ctx, dir, target, name)
	if err != nil {
		return f.status("symlink", f.tree.path(dir)+"/"+name, err)
	}
	f.entryOut(n, e, f.cfg.TTL, out)
	return fuse.OK
}

func (f *FS) symlink(ctx context.Context, dir *node, target, name string) (*node, entry, error) {
	part, err := f.newName(ctx, dir, name)
	if err != nil {
		return nil, entry{}, err
	}
	if len(part)+len(linkSuffix) > maxName {
		return nil, entry{}, syscall.ENAMETOOLONG
	}
	p, err := f.tree.pin(ctx, dir)
	if err != nil || p == nil {
		return nil, entry{}, gone(err)
	}
	defer p.release()
	e := entry{kind: kindLink, part: part + linkSuffix, size: int64(len(target)), mtime: f.cfg.Now()}
	attrs := owned{}.apply(s3.Attributes{ContentType: "text/plain; charset=utf-8"}, name, kindLink, e.mtime)
	info, err := f.bucket.Put(ctx, p.key+e.part, strings.NewReader(target), s3.PutOptions{Attributes: attrs, IfNoneMatch: "*"})
	if err != nil {
		f.names.Drop(p.key, name)
		return nil, entry{}, err
	}
	e.etag = info.ETag
	f.names.Put(p.key, name, e)
	f.noteDirectories(dir)
	n := f.tree.add(dir, name, e)
	n.mu.Lock()
	n.target = target
	n.mu.Unlock()
	return n, e, nil
}

// Readlink gets the target once; the object of a link is never edited in place.
func (f *FS) Readlink(cancel <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	ctx := f.asking(cancel, header.Pid)
	defer ctx.end()
	n := f.tree.get(header.NodeId)
	if n == nil || n.kind != kindLink {
		return nil, fuse.EINVAL
	}
	n.mu.Lock()
	target := n.target
	n.mu.Unlock()
	if target != "" {
		return []byte(target), fuse.OK
	}
	target, err := f.readTarget(ctx, n)
	if err != nil {
		return nil, f.status("readlink", f.tree.path(n), err)
	}
	return []byte(target), fuse.OK
}

func (f *FS) readTarget(ctx context.Context, n *node) (string, error) {
	key, ok := f.tree.key(n)
	if !ok {
		return "", syscall.ENOENT
	}
	body, err := f.bucket.Get(ctx, key, s3.GetOptions{})
	if err != nil {
		return "", err
	}
	defer body.Close()
	target, err := io.ReadAll(io.LimitReader(body, maxTarget+1))
	if err != nil {
		return "", err
	}
	if len(target) == 0 || len(target) > maxTarget || strings.IndexByte(string(target), 0) >= 0 {
		return "", syscall.EINVAL // an object that only has a link's name
	}
	return string(target), nil
}

// Link is refused: an object has one key.
func (f *FS) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return fuse.EPERM
}
