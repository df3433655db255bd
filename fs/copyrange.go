package fs

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
)

const (
	// copySmallest is the size from which a file is copied on the server. A smaller
	// one costs little to read, and its PUT takes the attributes along that cp -p
	// sets before it closes.
	copySmallest = 16 << 20

	// copyMost is the most that one request of the kernel can copy; it asks again.
	copyMost = 1<<32 - 4096
)

// CopyFileRange is what cp calls. A large file that is copied whole to a new one
// is copied by the server, and in the bucket when this returns: the source may
// be removed before the new file is closed. The kernel reads and writes where
// the answer is EOPNOTSUPP.
func (f *FS) CopyFileRange(cancel <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	from, to := f.handles.file(in.FhIn), f.handles.file(in.FhOut)
	if from == nil || to == nil || !from.read || !to.write {
		return 0, fuse.EBADF
	}
	if in.OffIn != in.OffOut || to.append {
		return 0, fuse.Status(syscall.EOPNOTSUPP)
	}
	n, err := to.copyFrom(ctx, from, int64(in.OffIn), int64(min(in.Len, copyMost)))
	return uint32(n), f.status("copy_file_range", f.tree.path(to.file.node), err)
}

// copyFrom makes n bytes from off on those of another file, at the same place.
func (h *handle) copyFrom(ctx context.Context, from *handle, off, n int64) (int64, error) {
	src, ok := from.copyable()
	last := off+n >= src.Size
	if n = min(n, src.Size-off); !ok || n <= 0 || !last && n < copyMost {
		return 0, syscall.EOPNOTSUPP
	}
	if err := cmp.Or(from.stale(), h.stale()); err != nil {
		return 0, err
	}
	fl := h.file
	if err := fl.op.lock(ctx); err != nil {
		return 0, err
	}
	defer fl.op.unlock()
	s := fl.state()
	if s.draft == nil || s.orphan {
		return 0, syscall.EOPNOTSUPP
	}
	if ok, err := s.draft.Graft(ctx, src, off, off+n); err != nil {
		return 0, err
	} else if !ok {
		return 0, syscall.EOPNOTSUPP
	}
	fl.touch()
	if !last {
		return n, nil
	}
	if err := fl.save(ctx); err != nil {
		return 0, fl.ungraft(ctx, err)
	}
	return n, nil
}

// copyable is the object that a handle reads, if the server can copy that.
func (h *handle) copyable() (s3.Object, bool) {
	fl := h.file
	s := fl.state()
	virtual := strings.HasPrefix(s.base.Key, fl.fs.cfg.Prefix+SnapshotsPart)
	changed := s.orphan || s.draft != nil && s.draft.Dirty()
	return s.base.Object, s.base.ETag != "" && s.base.Size >= fl.fs.cfg.copyAbove && !changed && !virtual
}

// ungraft empties the file again after the server could not copy. Where reading
// and writing may do better, the kernel is told to do that.
func (fl *file) ungraft(ctx context.Context, cause error) error {
	if err := fl.state().draft.Truncate(ctx, 0); err != nil {
		return errors.Join(cause, err)
	}
	if errors.Is(cause, s3.ErrChanged) || errors.Is(cause, s3.ErrUnsupported) || errors.Is(cause, s3.ErrDenied) {
		return syscall.EOPNOTSUPP
	}
	return cause
}
