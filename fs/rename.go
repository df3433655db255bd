package fs

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
)

// renameNoReplace is renameat2(2)'s RENAME_NOREPLACE.
const renameNoReplace = 1

// Rename is a copy and a delete, in this order: after a crash both names may
// be there, never neither. See renamedir.go for directories.
func (f *FS) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	from, to := f.tree.get(in.NodeId), f.tree.get(in.Newdir)
	if from == nil || to == nil {
		return fuse.Status(syscall.ESTALE)
	}
	if in.Flags&^renameNoReplace != 0 {
		return fuse.EINVAL // RENAME_EXCHANGE and RENAME_WHITEOUT
	}
	m := move{fs: f, from: from, to: to, oldName: oldName, newName: newName, noReplace: in.Flags&renameNoReplace != 0}
	return f.status("rename", f.tree.path(from)+"/"+oldName, m.run(ctx))
}

// move is one rename on its way.
type move struct {
	fs               *FS
	from, to         *node
	oldName, newName string
	noReplace        bool

	part           string // of the new name
	e              entry  // of the old name
	n              *node
	oldKey, newKey string
	left           bool // of a directory: somebody else put something there meanwhile
}

func (m *move) run(ctx context.Context) error {
	f := m.fs
	var err error
	if m.part, err = f.newName(ctx, m.to, m.newName); err != nil {
		return err
	}
	if m.n, m.e, _, err = f.resolve(ctx, m.from, m.oldName); err != nil {
		return err
	}
	defer f.tree.forget(m.n.id, 1)
	if m.n.kind != kindDir {
		if err := f.frozen(ctx, m.n); err != nil {
			return err
		}
		return m.file(ctx)
	}
	if err := f.frozenWhole(ctx, m.n); err != nil {
		return err
	}
	return m.directory(ctx)
}

func (m *move) file(ctx context.Context) error {
	f := m.fs
	replaced, err := m.replaced(ctx)
	if err != nil {
		return err
	}
	unlock, err := m.lockFiles(ctx, replaced)
	if err != nil {
		return err
	}
	moved := false
	defer func() { unlock(moved) }()
	if m.n.kind == kindFile {
		if err := m.n.file.commitLocked(ctx); err != nil {
			return err
		}
	}
	oldPin, newPin, err := m.pins(ctx)
	if err != nil {
		return err
	}
	defer oldPin.release()
	defer newPin.release()
	suffix := entry{kind: m.n.kind}.suffix()
	m.oldKey, m.newKey = oldPin.key+m.n.part, newPin.key+m.part+suffix
	own := m.n.snapshot()
	src, info, err := m.copy(ctx, own)
	if err != nil {
		f.names.Drop(newPin.key, m.newName)
		return err
	}
	if replaced != nil && replaced.kind != m.n.kind { // a link and a file have different keys
		if err := f.bucket.Delete(ctx, s3.Target{Key: newPin.key + replaced.part}); err != nil {
			return err
		}
	}
	err = f.remove(ctx, m.from, oldPin.key, m.oldName, s3.Target{Key: m.oldKey, ETag: src.ETag})
	if err != nil && !errors.Is(err, s3.ErrChanged) { // that is a new object by somebody else, as if made after the rename
		f.names.Drop(newPin.key, m.newName)
		return err
	}
	moved = true
	m.n.moved(src.ETag, info.ETag, own, src.LastModified)
	return m.arrive(ctx, src.ETag, info, replaced, m.part+suffix)
}

// replaced is the node of what stands under the new name, nil if nothing does.
func (m *move) replaced(ctx context.Context) (*node, error) {
	n, e, _, err := m.fs.resolve(ctx, m.to, m.newName)
	if errors.Is(err, s3.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m.fs.tree.forget(n.id, 1)
	switch {
	case n == m.n:
		return nil, nil
	case m.noReplace:
		return nil, syscall.EEXIST
	case m.n.kind == kindDir && e.kind != kindDir:
		return nil, syscall.ENOTDIR
	case m.n.kind != kindDir && e.kind == kindDir:
		return nil, syscall.EISDIR
	}
	return n, nil
}

// lockFiles takes the op locks of the file that moves and the one it replaces,
// and keeps the content of the latter for whoever has it open. unlock must be
// told whether the rename has happened.
func (m *move) lockFiles(ctx context.Context, replaced *node) (unlock func(moved bool), err error) {
	var held []*file
	settle := func(bool) {}
	unlock = func(moved bool) {
		settle(moved)
		for _, fl := range held {
			fl.op.unlock()
			fl.drop()
		}
	}
	nodes := []*node{m.n}
	if replaced != nil {
		nodes = append(nodes, replaced)
		if replaced.id < m.n.id {
			nodes = []*node{replaced, m.n}
		}
	}
	for _, n := range nodes {
		if n.kind == kindDir {
			continue
		}
		fl := m.fs.acquire(n)
		if err := fl.op.lock(ctx); err != nil {
			fl.drop()
			unlock(false)
			return nil, err
		}
		held = append(held, fl)
		if n != replaced {
			continue
		}
		leave, err := fl.keepOpen(ctx)
		if err != nil {
			unlock(false)
			return nil, err
		}
		settle = leave
	}
	return unlock, nil
}

// pins fixes both directories.
func (m *move) pins(ctx context.Context) (from, to *pin, err error) {
	pins, err := m.fs.tree.pinAll(ctx, m.from, m.to)
	if pins == nil {
		return nil, nil, gone(err)
	}
	return pins[0], pins[1], nil
}

// copy makes the object under its new key, and returns which version it copied
// and what became of it. Attributes that wait to be written go with it.
func (m *move) copy(ctx context.Context, own owned) (src, is s3.Info, err error) {
	src, exact, err := m.source(ctx, own.dirty)
	if err != nil {
		return src, s3.Info{}, err
	}
	is, err = m.copyVersion(ctx, src, own)
	if errors.Is(err, s3.ErrChanged) && !exact { // what is there by now moves
		if src, err = m.fs.bucket.Head(ctx, m.oldKey); err != nil {
			return src, s3.Info{}, err
		}
		is, err = m.copyVersion(ctx, src, own)
	}
	return src, is, err
}

// copyVersion is copy of one version.
func (m *move) copyVersion(ctx context.Context, src s3.Info, own owned) (s3.Info, error) {
	f := m.fs
	o := s3.CopyOptions{StorageClass: src.StorageClass}
	attrs := src.Attributes
	if own.dirty && own.etag == src.ETag {
		attrs = own.apply(src.Attributes, m.newKey, m.n.kind, time.Time{})
		o.Attributes = &attrs
	}
	if m.noReplace {
		o.IfNoneMatch = "*"
	}
	info, err := f.copy(ctx, src.Object, m.newKey, o)
	if err != nil {
		return info, err
	}
	info.Size, info.Attributes, info.StorageClass = src.Size, attrs, src.StorageClass
	if info.LastModified.IsZero() {
		info.LastModified = f.cfg.Now()
	}
	return info, nil
}

// copy copies an object of any size on the server's side.
func (f *FS) copy(ctx context.Context, src s3.Object, dst string, o s3.CopyOptions) (s3.Info, error) {
	return s3.CopyObject(ctx, f.bucket, src, dst, o, s3.CopyConfig{})
}

// source is the object as it is known, completed by a Head where the copy
// needs its attributes. It is exact where the file is open in that version.
func (m *move) source(ctx context.Context, needAttributes bool) (src s3.Info, exact bool, err error) {
	var base s3.Info
	if fl := m.n.file; fl != nil {
		base = fl.state().base
	}
	switch {
	case base.ETag != "" && base.Key == m.oldKey && (base.Metadata != nil || !needAttributes):
		return base, true, nil
	case !needAttributes && base.ETag == "" && m.e.etag != "" && m.e.size < s3.MaxPartSize:
		return s3.Info{Object: s3.Object{Key: m.oldKey, Size: m.e.size, ETag: m.e.etag, StorageClass: m.e.class, LastModified: m.e.mtime}}, false, nil
	}
	src, err = m.fs.bucket.Head(ctx, m.oldKey)
	if err == nil && base.ETag != "" && src.ETag != base.ETag {
		err = &s3.Error{Op: s3.OpHead, Key: m.oldKey, Kind: s3.ErrChanged}
	}
	return src, base.ETag != "", err
}

// moved records that the content was, if the node shows that, is a version is
// now, and that own went with it.
func (n *node) moved(was, is string, own owned, mtime time.Time) {
	if n.follow(was, is) {
		n.written(own, is, mtime)
	}
}

// arrive gives the node its new place.
func (m *move) arrive(ctx context.Context, was string, info s3.Info, replaced *node, part string) error {
	f := m.fs
	if replaced != nil {
		f.tree.unlink(replaced)
	}
	f.tree.move(m.n, m.to, m.newName, part)
	f.tree.relink(m.n, was, info.ETag)
	f.noteName(m.n, info)
	f.noteDirectories(m.to)
	if m.n.kind == kindFile && m.n.file.state().base.ETag != "" {
		return m.n.file.rebase(context.WithoutCancel(ctx), info)
	}
	return nil
}

// isBelow reports whether a node is dir or stands below it.
func (t *tree) isBelow(n, dir *node) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; n != nil; n = n.parent {
		if n == dir {
			return true
		}
	}
	return false
}

var errLong = errors.Join(syscall.EXDEV, errors.New("the directory stands for the beginning of long names and cannot be moved"))

func isLongDirectory(part string) bool { return !strings.HasSuffix(part, "/") }
