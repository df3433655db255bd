package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// abortTime is how long giving up an upload may take when its own context has
// ended.
const abortTime = 30 * time.Second

// Commit makes the content the object under key, with o's attributes and under
// o's conditions. On nil S3 has acknowledged all of it, and the draft is clean
// and an edit of the version in the result. On an error the draft is as it was,
// and Commit may be called again: s3.ErrChanged if the base or the condition
// does not hold any more, s3.ErrExists, or another error of the bucket.
//
// A clean draft is not sent again. A draft that was published on the way (see
// Draft) is committed under the condition that nobody changed that since.
func (d *Draft) Commit(ctx context.Context, key string, o s3.PutOptions) (s3.Info, error) {
	if err := d.lock(ctx); err != nil {
		return s3.Info{}, err
	}
	defer d.unlock()
	d.mu.Lock()
	if !d.dirty {
		defer d.mu.Unlock()
		return s3.Info{Object: *d.base}, nil
	}
	d.mu.Unlock()
	info, err := d.commit(ctx, key, o)
	if err != nil {
		return s3.Info{}, err
	}
	d.mu.Lock()
	mine := d.mine
	d.mine = nil
	d.mu.Unlock()
	if mine != nil && mine.Key != key {
		d.removeOld(ctx, *mine)
	}
	return info, nil
}

// commit is Commit with the turn held, also of a clean draft.
func (d *Draft) commit(ctx context.Context, key string, o s3.PutOptions) (s3.Info, error) {
	info, err := d.send(ctx, key, o)
	if err != nil {
		if err = d.dispel(ctx, key, err); err == nil {
			info, err = d.send(ctx, key, o)
		}
	}
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, s3.ErrCanceled) {
			err = fmt.Errorf("%w: %w", s3.ErrCanceled, err)
		}
		return s3.Info{}, err
	}
	return d.settle(key, info), nil
}

// overMine changes o's conditions, if the draft itself made what is under key,
// to that nobody else has changed it since.
func (d *Draft) overMine(key string, o s3.PutOptions) s3.PutOptions {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mine != nil && d.mine.Key == key {
		o.IfMatch, o.IfNoneMatch = d.mine.ETag, ""
	}
	return o
}

// send makes the content the object under key.
func (d *Draft) send(ctx context.Context, key string, o s3.PutOptions) (s3.Info, error) {
	if err := d.quiet(ctx); err != nil {
		return s3.Info{}, err
	}
	d.mu.Lock()
	s := d.stream
	d.mu.Unlock()
	if s == nil {
		return d.commitWhole(ctx, key, d.overMine(key, o))
	}
	landed, err := d.landed(ctx, s)
	switch {
	case err != nil:
		return s3.Info{}, err
	case landed:
		return d.commitWhole(ctx, key, d.overMine(key, o))
	}
	return d.commitStream(ctx, s, key, d.overMine(key, o))
}

// commitWhole sends a content of which nothing has left yet.
func (d *Draft) commitWhole(ctx context.Context, key string, o s3.PutOptions) (s3.Info, error) {
	l := d.e.cfg.Limits
	d.mu.Lock()
	size, untouched := d.size, d.untouched()
	d.mu.Unlock()
	if !d.e.copies() {
		untouched = nil
	}
	pieces := plan(size, untouched, d.e.cfg.PartSize, l)
	if !anyCopied(pieces) && size <= min(2*d.e.cfg.PartSize, l.MaxPartSize) {
		return d.put(ctx, key, o, size)
	}
	info, err := d.commitPieces(ctx, key, o, pieces)
	if errors.Is(err, s3.ErrUnsupported) && anyCopied(pieces) {
		d.e.log.Info("the server does not copy parts: they are read and sent again")
		d.e.noCopies.Store(true)
		return d.commitWhole(ctx, key, o)
	}
	return info, err
}

// copies tells whether the server is known not to copy parts.
func (e *Engine) copies() bool { return !e.noCopies.Load() }

// untouched returns the bytes that the base has and the draft did not change.
// d.mu must be held.
func (d *Draft) untouched() ranges {
	if d.base == nil || d.base.ETag == "" {
		return nil // without an ETag a copy could be of another version
	}
	return d.local.missing(0, d.baseEnd)
}

// put sends the content in one request.
func (d *Draft) put(ctx context.Context, key string, o s3.PutOptions, size int64) (s3.Info, error) {
	filled, err := d.fill(ctx, span{0, size})
	if err != nil {
		return s3.Info{}, err
	}
	d.mu.Lock()
	body := d.local.body(0, size)
	d.mu.Unlock()
	defer body.release()
	info, err := d.e.bucket.Put(ctx, key, body, o)
	if err != nil {
		d.doubtful(err, key, nil, func() string { return bodyETag(body) })
		d.unfill(filled)
		return s3.Info{}, err
	}
	return info, nil
}

// commitPieces makes the object of a planned upload.
func (d *Draft) commitPieces(ctx context.Context, key string, o s3.PutOptions, pieces []piece) (info s3.Info, err error) {
	up, err := d.e.bucket.NewUpload(ctx, key, o)
	if err != nil {
		return s3.Info{}, err
	}
	defer func() {
		if err != nil {
			_ = d.e.abort(ctx, up) // logged; what matters is why
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(d.e.cfg.Parallel)
	for i, p := range pieces {
		g.Go(func() error {
			if p.copied {
				return d.copyPart(gctx, up, i+1, p.span)
			}
			return d.sendPart(gctx, up, i+1, p.span)
		})
	}
	if err := g.Wait(); err != nil {
		return s3.Info{}, err
	}
	info, err = up.Complete(ctx)
	d.doubtful(err, key, nil, func() string { return uploadETag(up.Parts()) })
	return info, err
}

// abort gives up an upload, also when ctx has ended.
func (e *Engine) abort(ctx context.Context, up s3.Upload) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if err := up.Abort(ctx); err != nil {
		e.log.Warn("an unfinished upload may be left in the bucket", "key", up.Key(), "upload", up.ID(), "err", err)
		return fmt.Errorf("giving up the upload of %s: %w", up.Key(), err)
	}
	return nil
}

// copyPart makes a part of the base.
func (d *Draft) copyPart(ctx context.Context, up s3.Upload, n int, p span) error {
	base := d.Base()
	src := s3.Source{Key: base.Key, ETag: base.ETag}
	_, err := up.CopyPart(ctx, n, src, s3.Range{Offset: p.off, Length: p.len()})
	return err
}

// sendPart sends a part of what is here, and of the base where nothing is.
func (d *Draft) sendPart(ctx context.Context, up s3.Upload, n int, p span) error {
	filled, err := d.fill(ctx, p)
	if err != nil {
		return err
	}
	d.mu.Lock()
	body := d.local.body(p.off, p.end)
	d.mu.Unlock()
	_, err = up.Part(ctx, n, body)
	body.release()
	d.unfill(filled)
	return err
}
