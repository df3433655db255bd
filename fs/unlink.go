package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Unlink deletes the object. Who has the file open keeps its content.
func (f *FS) Unlink(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	ctx := f.changing(cancel, header.Pid)
	defer ctx.end()
	dir := f.tree.get(header.NodeId)
	if dir == nil {
		return fuse.Status(syscall.ESTALE)
	}
	return f.status("unlink", f.tree.path(dir)+"/"+name, f.unlink(ctx, dir, name))
}

func (f *FS) unlink(ctx context.Context, dir *node, name string) error {
	if err := f.frozen(ctx, dir); err != nil {
		return err
	}
	n := f.tree.child(dir, name)
	if n != nil && n.kind == kindFile {
		return f.unlinkFile(ctx, dir, name, n)
	}
	p, err := f.tree.pin(ctx, dir)
	if err != nil || p == nil {
		return gone(err)
	}
	defer p.release()
	if n == nil {
		e, _, err := f.stat(ctx, dir, name)
		if err != nil {
			return err
		}
		return f.remove(ctx, dir, p.key, name, s3.Target{Key: p.key + e.part})
	}
	if err := f.remove(ctx, dir, p.key, name, s3.Target{Key: p.key + n.part}); err != nil {
		return err
	}
	f.tree.unlink(n)
	return nil
}

// unlinkFile is unlink of a file that may be open.
func (f *FS) unlinkFile(ctx context.Context, dir *node, name string, n *node) error {
	fl := f.acquire(n)
	defer fl.drop()
	if err := fl.op.lock(ctx); err != nil {
		return err
	}
	defer fl.op.unlock()
	p, err := f.tree.pin(ctx, dir)
	if err != nil || p == nil {
		return gone(err)
	}
	defer p.release()
	settle, err := fl.keepOpen(ctx)
	if err != nil {
		return err
	}
	err = f.remove(ctx, dir, p.key, name, s3.Target{Key: p.key + n.part})
	settle(err == nil)
	if err != nil {
		return err
	}
	f.tree.unlink(n)
	return nil
}
