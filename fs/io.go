package fs

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// Read hands the kernel the reader's own buffer where one holds the bytes.
func (f *FS) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	ctx := f.asking(cancel, in.Pid)
	defer ctx.end()
	h := f.handles.file(in.Fh)
	if h == nil {
		return nil, fuse.EBADF
	}
	res, err := h.readAt(ctx, buf, int64(in.Offset))
	if err != nil {
		return nil, f.status("read", f.tree.path(h.file.node), missingIsChanged(s3.OpGet, h.file.state().base.Key, err))
	}
	return res, fuse.OK
}

func (h *handle) readAt(ctx context.Context, buf []byte, off int64) (fuse.ReadResult, error) {
	fl := h.file
	if err := h.stale(); err != nil {
		return nil, err
	}
	if s := fl.state(); s.draft != nil {
		if err := fl.op.share(ctx); err != nil {
			return nil, err
		}
		defer fl.op.unshare()
		if s = fl.state(); s.draft != nil {
			n, err := s.draft.ReadAt(ctx, buf, off)
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return fuse.ReadResultData(buf[:n]), err
		}
	}
	for {
		r := h.current()
		v, err := r.View(ctx, off, len(buf))
		if err == nil || errors.Is(err, io.EOF) {
			if len(v.Bytes()) == 0 {
				return fuse.ReadResultData(nil), nil
			}
			return &viewResult{v}, nil
		}
		if h.current() == r {
			return nil, err
		}
		// A commit gave the file a new version meanwhile, and the reader was closed.
	}
}

// viewResult is a read's answer that lies in a transfer buffer. Slices is what
// makes go-fuse write it from there: it takes the Bytes of other results, and
// calls Done, before it writes them.
type viewResult struct{ v transfer.View }

func (r *viewResult) Slices() ([][]byte, fuse.Status)    { return [][]byte{r.v.Bytes()}, fuse.OK }
func (r *viewResult) Bytes([]byte) ([]byte, fuse.Status) { return r.v.Bytes(), fuse.OK }
func (r *viewResult) Size() int                          { return len(r.v.Bytes()) }
func (r *viewResult) Done()                              { r.v.Release() }

// Write takes bytes into the file's draft.
func (f *FS) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	h := f.handles.file(in.Fh)
	if h == nil || !h.write {
		return 0, fuse.EBADF
	}
	if in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0 {
		h.file.dropPrivileges()
	}
	if err := h.writeAt(ctx, data, int64(in.Offset)); err != nil {
		return 0, f.status("write", f.tree.path(h.file.node), err)
	}
	return uint32(len(data)), fuse.OK
}

func (h *handle) writeAt(ctx context.Context, data []byte, off int64) error {
	fl := h.file
	if err := h.stale(); err != nil {
		return err
	}
	if fl.state().draft == nil {
		if err := fl.op.lock(ctx); err != nil {
			return err
		}
		err := fl.edit(ctx, false)
		fl.op.unlock()
		if err != nil {
			return err
		}
	}
	if err := fl.op.share(ctx); err != nil {
		return err
	}
	defer fl.op.unshare()
	d := fl.state().draft
	if d == nil {
		return syscall.EIO // saved and given up between the two: cannot happen while a writer is open
	}
	if end := d.Size(); h.append && off != end {
		off = end // the file was longer than the kernel knew, and its pages are wrong now
		fl.dropPages()
	}
	fl.touch()
	return d.WriteAt(ctx, data, off)
}

// Fallocate can promise nothing about space in a bucket; it only makes the
// file as long as asked.
func (f *FS) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	h := f.handles.file(in.Fh)
	if h == nil || !h.write {
		return fuse.EBADF
	}
	if in.Mode != 0 {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	return f.status("fallocate", f.tree.path(h.file.node), h.grow(ctx, int64(in.Offset+in.Length)))
}

func (h *handle) grow(ctx context.Context, size int64) error {
	fl := h.file
	if err := h.stale(); err != nil {
		return err
	}
	if err := fl.op.lock(ctx); err != nil {
		return err
	}
	defer fl.op.unlock()
	if err := fl.edit(ctx, false); err != nil {
		return err
	}
	d := fl.state().draft
	if size <= d.Size() {
		return nil
	}
	fl.touch()
	return d.Truncate(ctx, size)
}

// Lseek finds no holes: every file is one run of data.
func (f *FS) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	h := f.handles.file(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	s := h.file.state()
	size := uint64(s.base.Size)
	if s.draft != nil {
		size = uint64(s.draft.Size())
	}
	const seekData, seekHole = 3, 4
	switch {
	case in.Offset >= size:
		return fuse.Status(syscall.ENXIO)
	case in.Whence == seekData:
		out.Offset = in.Offset
	case in.Whence == seekHole:
		out.Offset = size
	default:
		return fuse.EINVAL
	}
	return fuse.OK
}
