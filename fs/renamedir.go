package fs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// copyParallel is how many objects of a directory are copied at once. They are
// deleted by a few bulk deletes at once, as servers work through one in order.
const (
	copyParallel   = 64
	deleteParallel = 4
	deleteBatch    = 100 // at least; at most S3's thousand in a request
)

// directory renames a directory: every object below is copied, then all are
// deleted, 1,000 in a request. The tree changes in one step between; whoever
// wants to save something below waits. A crash in the middle leaves objects
// under both names and loses none.
func (m *move) directory(ctx context.Context) error {
	f := m.fs
	if isLongDirectory(m.n.part) {
		return errLong
	}
	if f.tree.isBelow(m.to, m.n) {
		return syscall.EINVAL
	}
	replaced, err := m.replaced(ctx)
	if err != nil {
		return err
	}
	if err := m.saveBelow(ctx); err != nil {
		return err
	}
	oldPin, newPin, err := m.pins(ctx)
	if err != nil {
		return err
	}
	defer oldPin.release()
	defer newPin.release()
	m.oldKey, m.newKey = oldPin.key+m.n.part, newPin.key+m.part+"/"
	if err := f.tree.beginMove(ctx, m.n); err != nil {
		return err
	}
	defer f.tree.endMove(m.n)
	if m.unsavedBelow() {
		return syscall.EBUSY // written to between; the program may try again
	}
	// Also what is not known here may be there: the names are not as fresh as this.
	there, err := f.mustBeEmpty(ctx, replaced, m.newKey)
	if err != nil {
		return err
	}
	copied, err := m.transplant(ctx, oldPin.key, there)
	if err != nil { // objects may be under both names now
		f.names.DropTree(m.oldKey)
		f.names.DropTree(m.newKey)
		f.names.Drop(newPin.key, m.newName)
		return err
	}
	return m.arriveAll(context.WithoutCancel(ctx), copied, replaced, oldPin.key, newPin.key)
}

// transplant moves the objects.
func (m *move) transplant(ctx context.Context, oldPrefix string, there bool) (map[string]copied, error) {
	copied, err := m.copyAll(ctx, there)
	if err != nil {
		return nil, err
	}
	if len(copied) == 0 {
		return nil, errNoName // somebody else emptied it, and so it is gone
	}
	if err := m.deleteAll(ctx, copied); err != nil {
		return nil, err
	}
	return copied, m.fs.keepDirectory(ctx, m.from, oldPrefix, m.oldName)
}

// unsavedBelow reports whether a file under the directory has unsaved bytes. Any
// of them may be closed meanwhile.
func (m *move) unsavedBelow() bool {
	return slices.ContainsFunc(m.fs.tree.openBelow(m.n), func(n *node) bool {
		fl := m.fs.opened(n)
		if fl == nil {
			return false
		}
		defer fl.drop()
		return fl.unsaved()
	})
}

// saveBelow brings what is unsaved under the directory into the bucket. It tries
// every file.
func (m *move) saveBelow(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(saveParallel)
	for _, n := range m.fs.tree.openBelow(m.n) {
		if fl := m.fs.opened(n); fl != nil {
			g.Go(func() error {
				defer fl.drop()
				return fl.commit(ctx)
			})
		}
	}
	return g.Wait()
}

// copied is one object of a directory that was copied.
type copied struct {
	from string // the ETag of the version
	s3.Info
}

// copyAll copies every object below and returns what each old key became. If
// it fails it takes back what it has copied, but for the marker of a directory
// that was there before.
func (m *move) copyAll(ctx context.Context, there bool) (map[string]copied, error) {
	var mu sync.Mutex
	done := map[string]copied{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(copyParallel)
	var listed error
	for o, err := range s3.List(gctx, m.fs.bucket, m.oldKey) {
		if err != nil {
			listed = err
			break
		}
		g.Go(func() error {
			info, err := m.copyOne(gctx, o)
			if errors.Is(err, s3.ErrNotFound) {
				return nil // deleted by somebody else meanwhile
			}
			if err == nil {
				mu.Lock()
				done[o.Key] = info
				mu.Unlock()
			}
			return err
		})
	}
	err := errors.Join(g.Wait(), listed)
	if err == nil {
		return done, nil
	}
	if undoErr := m.takeBack(context.WithoutCancel(ctx), done, there); undoErr != nil {
		m.fs.log.Warn("copies of a directory whose rename failed remain", "under", m.newKey, "err", undoErr)
	}
	return nil, err
}

// takeBack removes the copies, but for the marker of a directory that was there
// before.
func (m *move) takeBack(ctx context.Context, done map[string]copied, there bool) error {
	made := map[string]string{}
	for _, info := range done {
		if !there || info.Key != m.newKey {
			made[info.Key] = info.ETag
		}
	}
	copies, _, err := m.unchanged(ctx, m.newKey, func(o s3.Object) bool {
		etag, ok := made[o.Key]
		return ok && etag == o.ETag
	})
	if err != nil {
		return err
	}
	slices.Reverse(copies) // markers last
	_, err = deleteUnchanged(ctx, m.fs.bucket, copies)
	return err
}

func (m *move) copyOne(ctx context.Context, o s3.Object) (copied, error) {
	dst := m.newKey + o.Key[len(m.oldKey):]
	if len(dst) > s3.MaxKeyLength {
		return copied{}, fmt.Errorf("the key %q would be too long: %w", dst, syscall.ENAMETOOLONG)
	}
	info, err := m.fs.copy(ctx, o, dst, s3.CopyOptions{StorageClass: o.StorageClass})
	if errors.Is(err, s3.ErrChanged) {
		now, headErr := m.fs.bucket.Head(ctx, o.Key)
		if headErr != nil {
			return copied{}, headErr
		}
		o = now.Object
		info, err = m.fs.copy(ctx, o, dst, s3.CopyOptions{StorageClass: o.StorageClass})
	}
	info.Key, info.Size, info.StorageClass = dst, o.Size, o.StorageClass
	if info.LastModified.IsZero() {
		info.LastModified = m.fs.cfg.Now()
	}
	return copied{o.ETag, info}, err
}

// unchanged returns the objects below prefix that are ours still, and whether
// there are others, which must not be touched. As many servers compare no ETags in
// a bulk delete, they are compared here, a moment before.
func (m *move) unchanged(ctx context.Context, prefix string, ours func(s3.Object) bool) (targets []s3.Target, others bool, err error) {
	for o, err := range s3.List(ctx, m.fs.bucket, prefix) {
		if err != nil {
			return nil, false, err
		}
		if !ours(o) {
			others = true
			continue
		}
		targets = append(targets, s3.Target{Key: o.Key, ETag: o.ETag, Weak: true})
	}
	return targets, others, nil
}

// deleteAll removes what was copied. What is in a directory goes before its
// marker.
func (m *move) deleteAll(ctx context.Context, copied map[string]copied) error {
	targets, others, err := m.unchanged(ctx, m.oldKey, func(o s3.Object) bool {
		c, ok := copied[o.Key]
		return ok && c.from == o.ETag
	})
	if err != nil {
		return err
	}
	m.left = others
	if len(targets) <= deleteBatch {
		slices.Reverse(targets)
		return m.deleteIn(ctx, targets)
	}
	// A server that keeps directories does not remove one in which something is.
	isMarker := func(t s3.Target) bool { return strings.HasSuffix(t.Key, "/") }
	markers := slices.DeleteFunc(slices.Clone(targets), func(t s3.Target) bool { return !isMarker(t) })
	if err := m.deleteIn(ctx, slices.DeleteFunc(targets, isMarker)); err != nil {
		return err
	}
	depth := func(t s3.Target) int { return strings.Count(t.Key, "/") }
	slices.SortStableFunc(markers, func(a, b s3.Target) int { return cmp.Compare(depth(b), depth(a)) })
	for len(markers) > 0 {
		n := slices.IndexFunc(markers, func(t s3.Target) bool { return depth(t) < depth(markers[0]) })
		if n < 0 {
			n = len(markers)
		}
		if err := m.deleteIn(ctx, markers[:n]); err != nil {
			return err
		}
		markers = markers[n:]
	}
	return nil
}

// deleteIn deletes targets in parallel batches.
func (m *move) deleteIn(ctx context.Context, targets []s3.Target) error {
	var left atomic.Bool
	g, ctx := errgroup.WithContext(ctx)
	for batch := range slices.Chunk(targets, max(len(targets)/deleteParallel, deleteBatch)) {
		g.Go(func() error {
			changed, err := deleteUnchanged(ctx, m.fs.bucket, batch)
			if changed {
				left.Store(true)
			}
			return err
		})
	}
	err := g.Wait()
	m.left = m.left || left.Load()
	return err
}

// deleteUnchanged deletes targets but for those that are other versions by now,
// and reports whether any was.
func deleteUnchanged(ctx context.Context, b s3.Bucket, targets []s3.Target) (changed bool, err error) {
	err = b.Delete(ctx, targets...)
	var failed *s3.DeleteError
	if !errors.As(err, &failed) {
		return false, err
	}
	for _, err := range failed.Failed {
		if !errors.Is(err, s3.ErrChanged) {
			return false, failed
		}
	}
	return true, nil
}

// arriveAll gives the directory its new place, and what is known below its new
// versions.
func (m *move) arriveAll(ctx context.Context, copied map[string]copied, replaced *node, oldPrefix, newPrefix string) error {
	f := m.fs
	var errs []error
	for _, n := range f.tree.below(m.n) {
		key, _ := f.tree.key(n)
		if info, ok := copied[key]; ok {
			n.follow(info.from, info.ETag)
			f.tree.relink(n, info.from, info.ETag)
			errs = append(errs, f.rebase(ctx, n, info))
		}
	}
	if replaced != nil {
		f.tree.unlink(replaced)
	}
	f.tree.move(m.n, m.to, m.newName, m.part+"/")
	f.siblings.dropAll()
	f.names.DropTree(m.oldKey)
	f.names.DropTree(m.newKey)
	if m.left {
		f.names.Drop(oldPrefix, m.oldName)
	} else {
		f.names.PutAbsent(oldPrefix, m.oldName)
	}
	e := m.e
	e.part = m.part + "/"
	f.names.Put(newPrefix, m.newName, e)
	f.noteDirectories(m.to)
	return errors.Join(errs...)
}

// rebase gives an open, clean file the version that a copy made of its own. One
// that is open in an older version stays that.
func (f *FS) rebase(ctx context.Context, n *node, c copied) error {
	fl := f.opened(n)
	if fl == nil {
		return nil
	}
	defer fl.drop()
	was := fl.state().base
	if was.ETag == "" || was.ETag != c.from {
		return nil
	}
	c.Attributes = was.Attributes
	return fl.rebase(ctx, c.Info)
}
