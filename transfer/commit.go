package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// removeOld removes what the draft published under a name that it does not have
// any more.
func (d *Draft) removeOld(ctx context.Context, old s3.Object) {
	if err := d.e.bucket.Delete(ctx, s3.Target{Key: old.Key, ETag: old.ETag}); err != nil {
		d.e.log.Warn("the old name of a renamed file is left in the bucket", "key", old.Key, "err", err)
	}
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
	return info, d.settle(key, info)
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

// settle makes what was committed the base. A small content stays here as well,
// for the next edit, until somebody needs the memory.
func (d *Draft) settle(key string, info s3.Info) error {
	d.mu.Lock()
	info.Key, info.Size = key, d.size
	d.base, d.baseEnd, d.key = &info.Object, d.size, key
	d.dirty, d.stream, d.doubts = false, nil, nil
	old := d.takeReader()
	keep := d.size <= maxBuffer && d.local.mem.covers(0, d.size)
	var err error
	if !keep {
		err = d.local.clear()
	}
	d.mu.Unlock()
	closeReader(old)
	d.e.holds(d, keep)
	return err
}

func (d *Draft) lastUse() int64 { return d.used.Load() }

// shed gives up what is here of a clean draft.
func (d *Draft) shed(int64) int64 {
	select {
	case d.turn <- struct{}{}:
		defer d.unlock()
	default:
		return 0 // in use
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dirty || d.ended {
		return 0
	}
	freed := d.local.memory()
	if err := d.local.clear(); err != nil {
		d.e.log.Debug("closing a staging file", "key", d.key, "err", err)
	}
	return freed
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

// skipped is how many bytes that are here already it is cheaper to fetch again
// than to ask twice.
const skipped = 256 << 10

// fill fetches the bytes of the base that are missing in p, so that no request
// has to wait for another one, and returns which.
func (d *Draft) fill(ctx context.Context, p span) (ranges, error) {
	d.mu.Lock()
	missing := d.local.missing(p.off, min(p.end, d.baseEnd))
	base := d.base
	d.mu.Unlock()
	for i := 0; i < len(missing); {
		j := i + 1
		for j < len(missing) && missing[j].off-missing[j-1].end < skipped {
			j++
		}
		if err := d.fetch(ctx, *base, missing[i:j]); err != nil {
			d.unfill(missing[:j])
			return nil, err
		}
		i = j
	}
	return missing, nil
}

// unfill forgets what fill fetched.
func (d *Draft) unfill(filled ranges) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range filled {
		d.local.remove(s.off, s.end)
	}
}

// fetch gets spans of the base with one GET. Where the memory does not suffice
// they go to the staging file.
func (d *Draft) fetch(ctx context.Context, base s3.Object, want ranges) error {
	r := d.e.NewReader(base)
	defer r.Close()
	off, end := want[0].off, want[len(want)-1].end
	body, err := r.ranged(ctx, off, end-off)
	if err != nil {
		return err
	}
	defer r.finish(body)
	scratch := make([]byte, min(end-off, 256<<10))
	for at := off; at < end; at += int64(len(scratch)) {
		p := scratch[:min(int64(len(scratch)), end-at)]
		if err := r.readFull(body, p, at); err != nil {
			return err
		}
		for _, s := range want.within(at, at+int64(len(p))) {
			if err := d.keep(p[s.off-at:s.end-at], s.off); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep puts bytes of the base where there is room.
func (d *Draft) keep(p []byte, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.local.room(off, off+int64(len(p))) {
		d.local.put(p, off)
		return nil
	}
	return d.local.putDisk(p, off)
}

// Discard gives the draft up: uploads are aborted, memory and disk freed. Only
// an error of the abort is returned; the rest is done then as well. Discarding
// a draft that has ended does nothing.
func (d *Draft) Discard(ctx context.Context) error {
	d.cancel()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if err := d.lock(ctx); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		return err
	}
	defer d.unlock()
	d.wg.Wait()
	var err error
	if !d.restored {
		err = d.abandonStream(ctx)
	}
	return errors.Join(err, d.end())
}

// end frees all that the draft has. The turn must be held.
func (d *Draft) end() error {
	d.mu.Lock()
	d.ended, d.stream = true, nil
	err := d.local.clear()
	old := d.takeReader()
	d.mu.Unlock()
	closeReader(old)
	d.e.holds(d, false)
	d.e.drafts.Add(-1)
	return err
}
