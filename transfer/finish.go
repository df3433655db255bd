package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// commitStream sends what has not left yet and completes the upload. Until that
// succeeded nothing that is here is given up.
func (d *Draft) commitStream(ctx context.Context, s *outflow, key string, o s3.PutOptions) (s3.Info, error) {
	if err := d.sendRest(ctx, s); err != nil {
		return s3.Info{}, err
	}
	if key != s.key {
		return d.completeElsewhere(ctx, s, key, o)
	}
	info, err := d.complete(ctx, s, o)
	if err != nil || sameObject(s.o, o) {
		return info, err
	}
	// The attributes were fixed when the upload began.
	o.IfMatch, o.IfNoneMatch = info.ETag, ""
	return d.rewrite(ctx, info.Object, key, o)
}

// sendRest sends the parts that have not left: the first, the last, and those
// with holes.
func (d *Draft) sendRest(ctx context.Context, s *outflow) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(d.e.cfg.Parallel)
	size := d.Size()
	for n := 1; n <= d.grid.part(size-1); n++ {
		part := d.grid.span(n)
		part.end = min(part.end, size)
		d.mu.Lock()
		left := s.away.covers(part.off, part.end)
		if !left {
			s.highest = max(s.highest, n)
		}
		d.mu.Unlock()
		if !left {
			g.Go(func() error { return d.sendPart(gctx, s.up, n, part) })
		}
	}
	return g.Wait()
}

// complete completes the upload where it began, under o's conditions.
func (d *Draft) complete(ctx context.Context, s *outflow, o s3.PutOptions) (s3.Info, error) {
	up := s.up
	if o.IfMatch != s.o.IfMatch || o.IfNoneMatch != s.o.IfNoneMatch {
		again, err := d.e.bucket.ResumeUpload(ctx, s.key, up.ID(), o)
		if err != nil {
			return s3.Info{}, err
		}
		up = again
	}
	info, err := up.Complete(ctx)
	d.doubtful(err, s.key, s, func() string { return uploadETag(up.Parts()) })
	return info, err
}

// completeElsewhere completes an upload whose file was renamed since it began:
// first at the old key, where nothing must be, then by a copy on the server.
func (d *Draft) completeElsewhere(ctx context.Context, s *outflow, key string, o s3.PutOptions) (s3.Info, error) {
	old, err := d.complete(ctx, s, s3.PutOptions{IfNoneMatch: "*"})
	if err != nil {
		return s3.Info{}, fmt.Errorf("completing %s, which is %s now: %w", s.key, key, err)
	}
	old.Key = s.key
	return d.rewrite(ctx, old.Object, key, o)
}

// rewrite makes the object under key of the completed upload's content, which
// becomes the draft's base: whatever fails from here on, the content is safe.
func (d *Draft) rewrite(ctx context.Context, src s3.Object, key string, o s3.PutOptions) (s3.Info, error) {
	d.settle(src.Key, s3.Info{Object: src})
	d.mu.Lock()
	d.dirty, d.mine = true, d.base
	src = *d.base
	d.mu.Unlock()
	if src.Size > d.e.cfg.Limits.MaxPartSize {
		return d.commitWhole(ctx, key, o)
	}
	info, err := d.e.bucket.Copy(ctx, s3.Source{Key: src.Key, ETag: src.ETag}, key, s3.CopyOptions{
		Attributes:   &o.Attributes,
		StorageClass: o.StorageClass,
		IfMatch:      o.IfMatch,
		IfNoneMatch:  o.IfNoneMatch,
	})
	if errors.Is(err, s3.ErrUnsupported) {
		return d.commitWhole(ctx, key, o)
	}
	return info, err
}

// sameObject tells whether two options make the same object, conditions apart.
func sameObject(a, b s3.PutOptions) bool {
	sameMeta := maps.Equal(a.Metadata, b.Metadata) && maps.Equal(a.Tags, b.Tags)
	a.Metadata, b.Metadata, a.Tags, b.Tags = nil, nil, nil, nil
	a.IfMatch, a.IfNoneMatch, b.IfMatch, b.IfNoneMatch = "", "", "", ""
	return sameMeta && reflect.DeepEqual(a, b)
}
