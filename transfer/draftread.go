package transfer

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/cgs3fs/cgs3fs/s3"
)

// ReadAt fills p with the content from off on; io.EOF if and only if it ends
// before p is full. Other errors are Reader.ReadAt's.
func (d *Draft) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("offset %d of %s: %w", off, d.name(), s3.ErrInvalid)
	}
	d.used.Store(d.e.clock.Add(1))
	n := 0
	for n < len(p) {
		m, err := d.readRun(ctx, p[n:], off+int64(n))
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// readRun fills the beginning of p with bytes that come from one place.
func (d *Draft) readRun(ctx context.Context, p []byte, off int64) (int, error) {
	d.mu.Lock()
	if d.ended {
		d.mu.Unlock()
		return 0, fmt.Errorf("draft of %s: %w", d.name(), os.ErrClosed)
	}
	end := min(off+int64(len(p)), d.size)
	if off >= end {
		d.mu.Unlock()
		return 0, io.EOF
	}
	missing := d.local.missing(off, end)
	if len(missing) == 0 || missing[0].off > off {
		defer d.mu.Unlock()
		if len(missing) > 0 {
			end = missing[0].off
		}
		p = p[:end-off]
		return len(p), d.local.readAt(p, off)
	}
	end = missing[0].end
	if d.left(off, end) {
		d.mu.Unlock()
		return 0, d.bringBack(ctx, off, end)
	}
	if off >= d.baseEnd {
		d.mu.Unlock()
		clear(p[:end-off])
		return int(end - off), nil
	}
	r := d.baseReader()
	end = min(end, d.baseEnd)
	d.mu.Unlock()
	n, err := r.ReadAt(ctx, p[:end-off], off)
	if err == nil {
		return n, nil
	}
	if !d.replaced(r) {
		err = d.dispelNow(ctx, err)
	} else {
		err = nil
	}
	return 0, err // if it is nil, another version is the base now: read that
}

// baseReader returns the reader of base. d.mu must be held.
func (d *Draft) baseReader() *Reader {
	if d.reader == nil {
		d.reader = d.e.NewReader(*d.base)
	}
	return d.reader
}

// replaced tells whether r is not the reader of base any more.
func (d *Draft) replaced(r *Reader) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reader != r && !d.ended
}

// takeReader returns the reader of base to be closed without d.mu, which must
// be held.
func (d *Draft) takeReader() *Reader {
	r := d.reader
	d.reader = nil
	return r
}

func closeReader(r *Reader) {
	if r != nil {
		r.Close() // has no error to report
	}
}
