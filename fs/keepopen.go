package fs

import (
	"context"
	"errors"
	"io"

	"github.com/cgs3fs/cgs3fs/transfer"
)

// keepOpen prepares a file for the loss of its name: what its open descriptors
// may still read is brought here. The function it returns must be called with
// whether the name has gone. fl.op must be held exclusively until then.
func (fl *file) keepOpen(ctx context.Context) (settle func(gone bool), err error) {
	fl.mu.Lock()
	others := fl.refs > 1
	fl.mu.Unlock()
	if !others || fl.state().orphan {
		return func(bool) {}, nil
	}
	kept, err := fl.bring(ctx)
	lost := err != nil
	if lost {
		if ctx.Err() != nil {
			return nil, err
		}
		fl.fs.log.Warn("an open file loses its name and could not be kept whole; reading on will fail", "path", fl.fs.tree.path(fl.node), "err", err)
	}
	return func(gone bool) {
		old := kept
		if gone {
			old = fl.orphaned(kept, lost)
		}
		if old != nil {
			fl.discard(context.WithoutCancel(ctx), old)
		}
	}, nil
}

// orphaned marks that the file has no name, and will not be saved. It returns
// the draft that the kept content takes the place of. One that could not be
// kept must not stay if it sends its bytes to where the name was: its
// descriptors are stale then. Nor does one that nobody has open, for whoever opens
// it at this moment would find a part of it.
func (fl *file) orphaned(kept *transfer.Draft, lost bool) (old *transfer.Draft) {
	fl.fs.unsaved.remove(fl)
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.orphan = true
	if lost && fl.streams || kept == nil && fl.handles == 0 {
		fl.epoch++
		fl.writers, old, fl.draft = 0, fl.draft, nil
		return old
	}
	if kept == nil {
		return nil
	}
	if fl.draft == nil {
		fl.mtime = fl.base.LastModified
	}
	old, fl.draft, fl.streams = fl.draft, kept, false
	return old
}

// bring copies the present content into a draft that will never be saved, if
// any of it is in the bucket only, or may be sent there.
func (fl *file) bring(ctx context.Context) (*transfer.Draft, error) {
	s := fl.state()
	fl.mu.Lock()
	streams := fl.streams
	fl.mu.Unlock()
	size := s.base.Size
	var r io.ReaderAt
	switch {
	case s.draft != nil:
		if !streams && s.draft.Base() == nil {
			return nil, nil
		}
		r, size = draftReader{ctx, s.draft}, s.draft.Size()
	case s.base.ETag == "":
		return nil, nil
	default:
		reader := fl.fs.xfer.NewReader(s.base.Object)
		defer reader.Close()
		r = versionReader{ctx, reader}
	}
	if fl.released(ctx, func() bool { return fl.handles == 0 }) {
		return nil, nil // and it may be terabytes
	}
	d := fl.fs.xfer.NewDraft(s.base.Key, nil, transfer.DraftOptions{})
	if err := copyInto(ctx, d, r, size); err != nil {
		return nil, errors.Join(err, d.Discard(context.WithoutCancel(ctx)))
	}
	return d, nil
}

// draftReader and versionReader are io.ReaderAts of one context.
type draftReader struct {
	ctx context.Context
	d   *transfer.Draft
}

func (r draftReader) ReadAt(p []byte, off int64) (int, error) { return r.d.ReadAt(r.ctx, p, off) }

type versionReader struct {
	ctx context.Context
	r   *transfer.Reader
}

func (r versionReader) ReadAt(p []byte, off int64) (int, error) { return r.r.ReadAt(r.ctx, p, off) }

func copyInto(ctx context.Context, d *transfer.Draft, r io.ReaderAt, size int64) error {
	buf := make([]byte, min(blockSize, size))
	for off := int64(0); off < size; {
		p := buf[:min(size-off, int64(len(buf)))]
		if n, err := r.ReadAt(p, off); n < len(p) {
			return errors.Join(io.ErrUnexpectedEOF, err)
		}
		if err := d.WriteAt(ctx, p, off); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}
