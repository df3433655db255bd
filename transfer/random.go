package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
)

// readRandom fills p with the bytes from off on, which lie in the object, and
// expects nothing about what is read next. They come through the block cache,
// if there is one.
func (r *Reader) readRandom(ctx context.Context, p []byte, off int64) error {
	if r.e.blocks == nil || r.obj.ETag == "" {
		return r.get(ctx, p, off)
	}
	size := r.e.blocks.BlockSize()
	for len(p) > 0 {
		i := off / size
		r.mu.Lock()
		r.sweep.read()
		r.mu.Unlock()
		last := (off + int64(len(p)) - 1) / size
		n, err := r.e.blocks.ReadAt(ctx, r.block(i), p, off-i*size, func(ctx context.Context) ([]byte, error) {
			return r.fillBlock(ctx, i, last)
		})
		switch {
		case errors.Is(err, cache.ErrClosed):
			return r.get(ctx, p, off)
		case err != nil:
			return r.canceled(ctx, err)
		case n == 0:
			return r.damaged(off)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// canceled makes sure that the end of ctx is told as such.
func (r *Reader) canceled(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, s3.ErrCanceled) {
		return fmt.Errorf("reading %s: %w: %w", r.obj.Key, s3.ErrCanceled, err)
	}
	return err
}

func (r *Reader) block(i int64) cache.BlockID {
	return cache.BlockID{Key: r.obj.Key, ETag: r.obj.ETag, Index: i}
}

// cached tells whether the byte at off is in the block cache.
func (r *Reader) cached(off int64) bool {
	b := r.e.blocks
	return b != nil && r.obj.ETag != "" && b.Has(r.block(off/b.BlockSize()))
}

// fillBlock gets block i, and with the same request those up to last, which are
// read next, and what else the sweep takes into the cache.
func (r *Reader) fillBlock(ctx context.Context, i, last int64) ([]byte, error) {
	size := r.e.blocks.BlockSize()
	stats := r.e.blocks.Stats()
	r.mu.Lock()
	first, n := r.sweep.miss(i, last, r.obj.Size, size, max(stats.MemoryBytes, stats.Disk.Max))
	r.mu.Unlock()
	off, end := first*size, min((first+n)*size, r.obj.Size)
	body, err := r.ranged(ctx, off, end-off)
	if err != nil {
		return nil, err
	}
	defer r.finish(body)
	var wanted, scratch []byte
	for ; off < end; off += size {
		length := min(size, end-off)
		p := scratch
		if off == i*size {
			p = make([]byte, length)
			wanted = p
		} else if p == nil {
			scratch = make([]byte, size)
			p = scratch
		}
		if err := r.readFull(body, p[:length], off); err != nil {
			if wanted != nil && off > i*size {
				return wanted, nil // the rest was only expected to be useful
			}
			return nil, err
		}
		if off != i*size {
			r.e.blocks.Put(r.block(off/size), p[:length])
		}
	}
	return wanted, nil
}

// remember offers what has arrived to the cache on disk. Memory is not asked:
// what was read in order is not read again soon, and the kernel has it, too.
func (r *Reader) remember(k *chunk) {
	if !r.e.diskCache || r.obj.ETag == "" {
		return
	}
	size := r.e.blocks.BlockSize()
	for i := (k.off + size - 1) / size; ; i++ {
		end := min((i+1)*size, r.obj.Size)
		if end > k.end || i*size >= end {
			return
		}
		r.e.blocks.Put(r.block(i), k.buf.data[i*size-k.off:end-k.off])
	}
}

// get fills p from the bucket.
func (r *Reader) get(ctx context.Context, p []byte, off int64) error {
	body, err := r.ranged(ctx, off, int64(len(p)))
	if err != nil {
		return err
	}
	defer r.finish(body)
	return r.readFull(body, p, off)
}

// ranged begins to get n bytes from off on, of this version.
func (r *Reader) ranged(ctx context.Context, off, n int64) (*s3.Body, error) {
	o := s3.GetOptions{Range: s3.Range{Offset: off, Length: n}, IfMatch: r.obj.ETag}
	body, err := r.e.bucket.Get(ctx, r.obj.Key, o)
	if err != nil {
		return nil, err
	}
	if err := r.check(body, off); err != nil {
		r.finish(body)
		return nil, err
	}
	return body, nil
}

// readFull fills p from an answer that stands at off.
func (r *Reader) readFull(body io.Reader, p []byte, off int64) error {
	n, err := io.ReadFull(body, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damaged(off + int64(n))
	}
	return err
}

// damaged is an answer that ended at off, too early.
func (r *Reader) damaged(off int64) error {
	return &s3.Error{
		Op: s3.OpGet, Key: r.obj.Key, Kind: s3.ErrCorrupt,
		Err: fmt.Errorf("answer ends at byte %d: %w", off, io.ErrUnexpectedEOF),
	}
}
