package fs

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// saveAttributes writes what this mount did to a node's attributes, if that is
// not in the bucket yet and no unsaved content will take it along.
func (f *FS) saveAttributes(ctx context.Context, n *node) error {
	if n.id == rootIno {
		return nil
	}
	if n.kind != kindDir { // a link has no more of a file than its lock
		fl := f.acquire(n)
		defer fl.drop()
		if err := fl.op.lock(ctx); err != nil {
			return err
		}
		defer fl.op.unlock()
		if fl.unsaved() {
			return nil
		}
		fl.adoptPublished()
	}
	p, err := f.tree.pin(ctx, n)
	if p == nil || err != nil {
		return err
	}
	defer p.release()
	own := n.snapshot() // not before: a rename of a directory changes which version that is
	if !own.dirty {
		return nil
	}
	if n.kind == kindDir {
		return f.saveDirectory(ctx, n, p.key, own)
	}
	info, err := f.bucket.Head(ctx, p.key)
	if err != nil && !errors.Is(err, s3.ErrNotFound) {
		return err
	}
	if err != nil || info.ETag != own.etag {
		f.outdated(n, own)
		return nil
	}
	attrs := own.apply(info.Attributes, p.key, n.kind, time.Time{})
	n.setRewriting(true)
	defer n.setRewriting(false)
	copied, err := f.copy(ctx, info.Object, p.key, s3.CopyOptions{Attributes: &attrs, StorageClass: info.StorageClass, IfMatch: info.ETag})
	if errors.Is(err, s3.ErrChanged) {
		f.outdated(n, own)
		return nil
	}
	if err != nil {
		return err
	}
	return f.rewritten(ctx, n, info, copied, attrs, own)
}

// outdated gives up attributes of a version that somebody else has replaced or
// removed: the new one has its own.
func (f *FS) outdated(n *node, own owned) {
	f.log.Warn("attributes not written: somebody else has changed the file", "path", f.tree.path(n))
	n.disown(own)
}

// disownOthers gives up what this mount did to another version than etag, before
// that is edited.
func (f *FS) disownOthers(n *node, etag string) {
	switch own := n.snapshot(); {
	case own.etag == etag:
	case own.dirty:
		f.outdated(n, own)
	default:
		n.disown(own)
	}
}

// rewritten records that the same content has new attributes, and so perhaps a
// new ETag.
func (f *FS) rewritten(ctx context.Context, n *node, was, is s3.Info, attrs s3.Attributes, own owned) error {
	is.Size, is.Attributes, is.StorageClass = was.Size, attrs, was.StorageClass
	if is.LastModified.IsZero() {
		is.LastModified = f.cfg.Now()
	}
	if n.cached() == was.ETag {
		n.setCached(is.ETag)
	}
	n.written(own, is.ETag, was.LastModified)
	f.tree.relink(n, was.ETag, is.ETag)
	f.noteName(n, is)
	fl := f.opened(n)
	if fl == nil {
		return nil
	}
	defer fl.drop()
	if fl.state().base.ETag != was.ETag {
		return nil
	}
	return fl.rebase(context.WithoutCancel(ctx), is)
}

// saveDirectory keeps a directory's attributes in its marker object.
func (f *FS) saveDirectory(ctx context.Context, n *node, key string, own owned) error {
	if !strings.HasSuffix(key, "/") {
		return nil // an @s3+ directory is none in the bucket
	}
	was, err := f.bucket.Head(ctx, key)
	if err != nil && !errors.Is(err, s3.ErrNotFound) {
		return err
	}
	if was.Size > 0 {
		return nil // somebody keeps content under the directory's key
	}
	attrs := own.apply(was.Attributes, key, kindDir, time.Time{})
	if _, err := f.bucket.Put(ctx, key, bytes.NewReader(nil), s3.PutOptions{Attributes: attrs}); err != nil {
		return err
	}
	n.written(own, "", f.cfg.Now())
	if dir, name := f.tree.place(n); dir != nil {
		if prefix, ok := f.tree.key(dir); ok {
			posix := own.posix
			f.names.Put(prefix, name, entry{kind: kindDir, part: n.part, posix: &posix})
		}
	}
	f.names.Put(key, markerName, entry{})
	return nil
}
