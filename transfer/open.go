package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// inlineBody is up to where an answer is read by whoever opened the object: it
// mostly came with the headers, and needs no goroutine.
const inlineBody = 64 << 10

// Open asks the bucket for an object as it is now, with one GET of its first
// bytes, and returns when the headers are there. Their version is the one that
// the Reader will ever deliver. hint is what a listing told, without an ETag
// nothing; it decides how much is asked for and may be wrong.
//
// have, if not empty, is the ETag of a version whose bytes the caller still has.
// If the object is that version still, notModified is true, info is zero, and
// the Reader has nothing on the way.
//
// Errors are those of Bucket.Get, but for ErrRange and ErrNotModified.
func (e *Engine) Open(ctx context.Context, key string, hint s3.Object, have string) (r *Reader, info s3.Info, notModified bool, err error) {
	o := s3.GetOptions{IfNoneMatch: have}
	length := int64(firstRange)
	if hint.ETag != "" && hint.Size <= firstRange {
		// All of it: without a range an empty object is no error, and the answer
		// has the checksum of the whole.
		length = hint.Size
	}
	bufs, err := e.openBuffers(ctx, length)
	if err != nil {
		return nil, s3.Info{}, false, err
	}
	if length == firstRange {
		length = capacity(bufs)
		o.Range.Length = length
	}
	rctx, cancel := context.WithCancel(e.ctx)
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	asked := time.Now()
	body, err := e.bucket.Get(rctx, key, o)
	wait := time.Since(asked)
	if err != nil {
		cancel()
		releaseAll(bufs)
		if ctx.Err() != nil {
			return nil, s3.Info{}, false, fmt.Errorf("opening %s: %w: %w", key, s3.ErrCanceled, ctx.Err())
		}
		return e.openFailed(ctx, key, hint, have, err)
	}
	r = &Reader{e: e, obj: body.Info.Object, ctx: rctx, cancel: cancel}
	r.obj.Key = key
	e.readers.Add(1)
	r.deliver(body, bufs, wait, stop)
	if ctx.Err() != nil {
		return nil, s3.Info{}, false, errors.Join(fmt.Errorf("opening %s: %w: %w", key, s3.ErrCanceled, ctx.Err()), r.Close())
	}
	return r, body.Info, false, nil
}

// openFailed makes the best of a GET that brought no bytes.
func (e *Engine) openFailed(ctx context.Context, key string, hint s3.Object, have string, err error) (*Reader, s3.Info, bool, error) {
	switch {
	case errors.Is(err, s3.ErrNotModified) && hint.ETag == have:
		hint.Key = key
		return e.NewReader(hint), s3.Info{}, true, nil
	case errors.Is(err, s3.ErrNotModified), errors.Is(err, s3.ErrRange):
		info, err := e.bucket.Head(ctx, key)
		if err != nil {
			return nil, s3.Info{}, false, err
		}
		info.Key = key
		if have != "" && info.ETag == have {
			return e.NewReader(info.Object), s3.Info{}, true, nil
		}
		return e.NewReader(info.Object), info, false, nil
	}
	return nil, s3.Info{}, false, err
}

// openBuffers returns buffers for up to n bytes from an object's start, one if
// there is no memory to spare for more.
func (e *Engine) openBuffers(ctx context.Context, n int64) ([]*buffer, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := e.pool.get(ctx, reading, int(min(n, pieceSize)))
	if err != nil {
		return nil, err
	}
	bufs := []*buffer{b}
	if n > pieceSize {
		if b := e.pool.tryGet(reading, int(n-pieceSize), b); b != nil {
			bufs = append(bufs, b)
		}
	}
	return bufs, nil
}

// deliver makes chunks of an answer's first bytes, as far as bufs hold them, and
// lets them arrive. stop ends what cancels the Reader's context.
func (r *Reader) deliver(body *s3.Body, bufs []*buffer, wait time.Duration, stop func() bool) {
	size := min(body.Range.Length, body.Info.Size)
	r.mu.Lock()
	c := r.begin(window{step: firstRange / 4})
	var chunks []*chunk
	for _, b := range bufs {
		n := min(size-c.ahead, int64(len(b.data)), pieceSize)
		if n <= 0 || body.Range.Offset != 0 {
			b.release()
			continue
		}
		chunks = append(chunks, &chunk{off: c.ahead, end: c.ahead + n, filled: c.ahead, buf: r.fit(b, int(n)), cursor: c})
		c.ahead += n
	}
	if len(chunks) == 0 {
		r.mu.Unlock()
		stop()
		r.finish(body)
		return
	}
	c.step = max(c.ahead, pieceSize)
	s := r.register(c, chunks)
	s.wait = wait
	r.mu.Unlock()
	if c.ahead <= inlineBody {
		r.run(s, body, nil)
		stop()
		return
	}
	if stop() {
		r.wg.Go(func() { r.run(s, body, nil) })
		return
	}
	r.run(s, body, s3.ErrCanceled)
}

// fit changes a buffer for a smaller one where n bytes need no more.
func (r *Reader) fit(b *buffer, n int) *buffer {
	if classOf(n) == b.class {
		return b
	}
	small := r.e.pool.tryGet(reading, n, nil)
	if small == nil {
		return b
	}
	b.release()
	return small
}

func capacity(bufs []*buffer) int64 {
	var n int64
	for _, b := range bufs {
		n += int64(len(b.data))
	}
	return min(n, firstRange)
}

func releaseAll(bufs []*buffer) {
	for _, b := range bufs {
		b.release()
	}
}
