package transfer

import (
	"context"
	"errors"
	"io"

	"github.com/cgs3fs/cgs3fs/s3"
)

// readRandom fills p with the bytes from off on, which lie in the object, and
// expects nothing about what is read next.
func (r *Reader) readRandom(ctx context.Context, p []byte, off int64) error {
	return r.get(ctx, p, off)
}

// get fills p from the bucket.
func (r *Reader) get(ctx context.Context, p []byte, off int64) error {
	o := s3.GetOptions{Range: s3.Range{Offset: off, Length: int64(len(p))}, IfMatch: r.obj.ETag}
	body, err := r.e.bucket.Get(ctx, r.obj.Key, o)
	if err != nil {
		return err
	}
	defer r.finish(body)
	if err := r.check(body, off); err != nil {
		return err
	}
	if _, err := io.ReadFull(body, p); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &s3.Error{Op: "GetObject", Key: r.obj.Key, Kind: s3.ErrCorrupt, Err: io.ErrUnexpectedEOF}
		}
		return err
	}
	return nil
}
