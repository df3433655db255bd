package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// streamTries is how often a body that breaks off is read anew.
const streamTries = 5

// stream copies through this machine: read under the version's ETag, write under
// the place's condition. Small objects are one Put, larger ones go in parts, so
// that nothing is ever held whole.
func (c *copier) stream(ctx context.Context, v version, to place) (copied, error) {
	if v.size > c.cfg.StreamPart {
		return c.streamParts(ctx, v, to)
	}
	release, err := c.budget.take(ctx, v.size)
	if err != nil {
		return copied{}, err
	}
	defer release()
	data, info, err := c.fetch(ctx, v, s3.Range{})
	if err != nil {
		return copied{}, err
	}
	tags, tagsLost, err := c.tags(ctx, info)
	if err != nil {
		return copied{}, err
	}
	done := copied{tagsLost: tagsLost}
	o := s3.PutOptions{
		Attributes: info.Attributes, StorageClass: v.class, Tags: tags, IfMatch: to.ifMatch, IfNoneMatch: to.ifNoneMatch,
	}
	err = c.write(ctx, to, true, func(bucket s3.Bucket) (err error) {
		done.Info, err = bucket.Put(ctx, to.key, bytes.NewReader(data), o)
		return err
	})
	return done, err
}

// abortTimeout is for giving something up after the run was interrupted.
const abortTimeout = 10 * time.Second

// streamParts copies a large object by a multipart upload, which takes nothing
// of the object but its bytes; all else is read first and sent along.
func (c *copier) streamParts(ctx context.Context, v version, to place) (copied, error) {
	var info s3.Info
	err := c.gate.do(ctx, func() (err error) {
		info, err = c.from.Head(ctx, v.key)
		return err
	})
	if err != nil {
		return copied{}, err
	}
	if info.ETag != v.etag {
		return copied{}, &s3.Error{Op: s3.OpHead, Key: v.key, Kind: s3.ErrChanged}
	}
	tags, tagsLost, err := c.tags(ctx, info)
	if err != nil {
		return copied{}, err
	}
	u, err := c.uploads.NewUpload(ctx, to.key, s3.PutOptions{
		Attributes: info.Attributes, StorageClass: v.class, Tags: tags, IfMatch: to.ifMatch, IfNoneMatch: to.ifNoneMatch,
	})
	if err != nil {
		return copied{}, err
	}
	group, partCtx := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i, r := range parts(v.size, c.cfg.StreamPart) {
		group.Go(func() error { return c.streamPart(partCtx, u, i+1, v, r) })
	}
	done := copied{tagsLost: tagsLost}
	if err = group.Wait(); err == nil {
		done.Info, err = u.Complete(ctx)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		return copied{}, errors.Join(err, u.Abort(ctx))
	}
	return done, nil
}

// parts cuts an object into ranges of at least size bytes, as many as S3 allows.
func parts(object, size int64) []s3.Range {
	size = max(size, (object+s3.MaxParts-1)/s3.MaxParts)
	var ranges []s3.Range
	for off := int64(0); off < object; off += size {
		ranges = append(ranges, s3.Range{Offset: off, Length: min(size, object-off)})
	}
	return ranges
}

func (c *copier) streamPart(ctx context.Context, u s3.Upload, n int, v version, r s3.Range) error {
	release, err := c.budget.take(ctx, r.Length)
	if err != nil {
		return err
	}
	defer release()
	data, _, err := c.fetch(ctx, v, r)
	if err != nil {
		return err
	}
	return c.gate.do(ctx, func() error {
		_, err := u.Part(ctx, n, bytes.NewReader(data))
		return err
	})
}

// fetch reads a range of a version, or the whole of it, into memory.
func (c *copier) fetch(ctx context.Context, v version, r s3.Range) (data []byte, info s3.Info, err error) {
	want := r.Length
	if r == (s3.Range{}) {
		want = v.size
	}
	for range streamTries {
		err = c.gate.do(ctx, func() error {
			body, err := c.from.Get(ctx, v.key, s3.GetOptions{Range: r, IfMatch: v.etag})
			if err != nil {
				return err
			}
			defer body.Close()
			info = body.Info
			data, err = readExactly(body, want)
			return err
		})
		if err == nil || !errors.Is(err, s3.ErrUnavailable) && !errors.Is(err, s3.ErrCorrupt) {
			break
		}
	}
	if err != nil {
		return nil, s3.Info{}, fmt.Errorf("reading %s: %w", v, err)
	}
	return data, info, nil
}

// readExactly reads a body that must be n bytes long.
func readExactly(body io.Reader, n int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, n+1))
	if err == nil && int64(len(data)) != n {
		err = &s3.Error{Op: s3.OpGet, Kind: s3.ErrCorrupt, Err: fmt.Errorf("got %d bytes or more of %d", len(data), n)}
	}
	return data, err
}
