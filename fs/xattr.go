package fs

import (
	"context"
	"sort"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Extended attributes. user.NAME is the object's user metadata NAME. Those
// under user.s3. show what S3 keeps besides, and on the mount's root
// user.cgs3fs. is how the commands talk to the mount (control.go).
const (
	xattrS3      = "user.s3."
	xattrControl = "user.cgs3fs."
)

func (f *FS) GetXAttr(cancel <-chan struct{}, header *fuse.InHeader, attr string, dest []byte) (uint32, fuse.Status) {
	ctx := f.asking(cancel, header.Pid)
	defer ctx.end()
	n := f.tree.get(header.NodeId)
	if n == nil {
		return 0, fuse.Status(syscall.ESTALE)
	}
	if !strings.HasPrefix(attr, xattrUser) {
		return 0, fuse.ENODATA // the kernel asks for security.capability at every write
	}
	if strings.HasPrefix(attr, xattrControl) && n.id == rootIno {
		value, err := f.control(ctx, attr)
		if err != nil {
			return 0, f.status("getxattr", attr, err)
		}
		return fill(dest, value)
	}
	all, _, err := f.xattrs(ctx, n)
	if err != nil {
		return 0, f.status("getxattr", f.tree.path(n), err)
	}
	value, ok := all[attr]
	if !ok {
		return 0, fuse.ENODATA
	}
	return fill(dest, value)
}

func (f *FS) ListXAttr(cancel <-chan struct{}, header *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	ctx := f.asking(cancel, header.Pid)
	defer ctx.end()
	n := f.tree.get(header.NodeId)
	if n == nil {
		return 0, fuse.Status(syscall.ESTALE)
	}
	all, _, err := f.xattrs(ctx, n)
	if err != nil {
		return 0, f.status("listxattr", f.tree.path(n), err)
	}
	var names []string
	for name := range all {
		if !strings.HasPrefix(name, xattrS3) { // or cp -a would try to set them
			names = append(names, name+"\x00")
		}
	}
	sort.Strings(names)
	return fill(dest, []byte(strings.Join(names, "")))
}

// fill answers as getxattr(2) does: with the size alone if there is no room.
func fill(dest, value []byte) (uint32, fuse.Status) {
	if len(dest) < len(value) {
		return uint32(len(value)), fuse.ERANGE
	}
	return uint32(copy(dest, value)), fuse.OK
}

// xattrs are all of a node's extended attributes, and the version that has them.
// Only of files and links: the marker of a directory holds nothing worth a
// request.
func (f *FS) xattrs(ctx context.Context, n *node) (map[string][]byte, version, error) {
	out := map[string][]byte{}
	var v version
	at := n.saved()
	if n.kind != kindDir {
		var err error
		if v, err = f.storedXattrs(ctx, n, out); err != nil {
			return nil, v, err
		}
	}
	v.etag = n.sinceThen(at, v.etag)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.owns(v) {
		for name := range n.own.gone {
			delete(out, xattrUser+name)
		}
		for name, text := range n.own.xattr {
			out[xattrUser+name] = unescapeXattr(text)
		}
	}
	return out, v, nil
}

// storedXattrs adds to out what the object has, and returns which version that is.
func (f *FS) storedXattrs(ctx context.Context, n *node, out map[string][]byte) (version, error) {
	info, v, err := f.stored(ctx, n)
	if err != nil || info.ETag == "" {
		return v, err
	}
	for k, text := range info.Metadata {
		if _, ok := metaKey(xattrUser + k); ok && !isPosixKey(k) {
			out[xattrUser+k] = unescapeXattr(text)
		}
	}
	for k, text := range map[string]string{"etag": info.ETag, "storage-class": info.StorageClass, "content-type": info.ContentType, "version-id": info.VersionID} {
		if text != "" {
			out[xattrS3+k] = []byte(text)
		}
	}
	return v, nil
}

// stored is the object with its metadata that a node shows or, where the node is
// a changed file, is an edit of. A file that is not in the bucket has none.
func (f *FS) stored(ctx context.Context, n *node) (s3.Info, version, error) {
	drafted := false
	if fl := f.opened(n); fl != nil {
		defer fl.drop()
		s := fl.state()
		drafted = s.draft != nil
		if drafted && s.base.ETag == "" || s.base.Metadata != nil {
			return s.base, version{s.base.ETag, drafted}, nil
		}
	}
	key, ok := f.tree.key(n)
	if !ok {
		return s3.Info{}, version{}, nil
	}
	info, err := f.bucket.Head(ctx, key)
	return info, version{info.ETag, drafted}, err
}

func (f *FS) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, attr string, data []byte) fuse.Status {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	n := f.tree.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	return f.status("setxattr", f.tree.path(n), f.setXattr(ctx, n, in.Flags, attr, data))
}

func (f *FS) setXattr(ctx context.Context, n *node, flags uint32, attr string, data []byte) error {
	name, ok := metaKey(attr)
	if !ok || isPosixKey(name) || strings.HasPrefix(attr, xattrS3) || n.kind != kindFile {
		return syscall.EOPNOTSUPP
	}
	if err := f.frozen(ctx, n); err != nil {
		return err
	}
	at := n.saved()
	all, v, err := f.xattrs(ctx, n)
	if err != nil {
		return err
	}
	const create, replace = 1, 2
	_, there := all[attr]
	switch {
	case flags&create != 0 && there:
		return syscall.EEXIST
	case flags&replace != 0 && !there:
		return syscall.ENODATA
	}
	text := escapeXattr(data)
	size := len(name) + len(text)
	for k, v := range all {
		if k != attr && !strings.HasPrefix(k, xattrS3) {
			size += len(k) - len(xattrUser) + len(escapeXattr(v))
		}
	}
	if size > maxMetadata-posixRoom {
		return syscall.ENOSPC // S3 keeps 2 KiB of metadata with an object
	}
	f.change(n, v, at, func(o *owned) {
		if o.xattr == nil {
			o.xattr = map[string]string{}
		}
		o.xattr[name] = text
		delete(o.gone, name)
	})
	return nil
}

// posixRoom is kept free for mode, owner and mtime.
const posixRoom = 128

func (f *FS) RemoveXAttr(cancel <-chan struct{}, header *fuse.InHeader, attr string) fuse.Status {
	ctx := f.changing(cancel, header.Pid)
	defer ctx.end()
	n := f.tree.get(header.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	return f.status("removexattr", f.tree.path(n), f.removeXattr(ctx, n, attr))
}

func (f *FS) removeXattr(ctx context.Context, n *node, attr string) error {
	name, ok := metaKey(attr)
	if !ok || n.kind != kindFile {
		return syscall.ENODATA
	}
	if err := f.frozen(ctx, n); err != nil {
		return err
	}
	at := n.saved()
	all, v, err := f.xattrs(ctx, n)
	if err != nil {
		return err
	}
	if _, there := all[attr]; !there {
		return syscall.ENODATA
	}
	f.change(n, v, at, func(o *owned) {
		if o.gone == nil {
			o.gone = map[string]bool{}
		}
		o.gone[name] = true
		delete(o.xattr, name)
	})
	return nil
}
