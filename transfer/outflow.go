package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/cgs3fs/cgs3fs/s3"
)

// outflow is the multipart upload of a draft that leaves while it is written.
// Part n is always the same bytes, those of the grid. Draft.mu guards it.
type outflow struct {
	up      s3.Upload
	key     string
	o       s3.PutOptions
	next    int           // all parts from 2 to before it have left
	highest int           // the last part that was ever sent
	away    ranges        // bytes that are nowhere else but in parts
	sending ranges        // bytes of parts on their way
	flying  int           // parts on their way
	landed  chan struct{} // closed, and replaced, when a part has arrived or failed
}

// streaming tells whether parts may leave while the draft is written. d.mu must
// be held.
func (d *Draft) streaming() bool { return d.o.Sequential && d.base == nil }

// flying returns the bytes that are on their way. d.mu must be held.
func (d *Draft) flying() ranges {
	if d.stream == nil {
		return nil
	}
	return d.stream.sending
}

// left tells whether any of the bytes from off to end have left, or are about
// to. d.mu must be held.
func (d *Draft) left(off, end int64) bool {
	s := d.stream
	return s != nil && (s.away.touches(off, end) || s.sending.touches(off, end))
}

// Begun returns what the upload under way began with, if there is one. S3 gives
// the object these attributes; to Commit it with others takes a copy of it.
func (d *Draft) Begun() (key string, o s3.PutOptions, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stream == nil {
		return "", s3.PutOptions{}, false
	}
	return d.stream.key, d.stream.o, true
}

// lag is how far behind the last write a part leaves, for programs that go back
// a little.
func (d *Draft) lag() int64 { return min(maxBuffer, d.e.cfg.PartSize/8) }

// full returns the next part that is all here and has not left, 0 if there is
// none. A part that is about to be written to, at but, is none. Nothing leaves
// into an upload that may be complete: it would be refused, or be missing from
// the object. d.mu must be held.
func (d *Draft) full(but span) (int, span) {
	if !d.streaming() || d.maybeComplete() {
		return 0, span{}
	}
	n := 2
	if d.stream != nil {
		n = d.stream.next
	}
	for first := true; n <= d.grid.limits.MaxParts; n++ {
		s := d.grid.span(n)
		if s.end+d.lag() > d.size {
			break
		}
		if d.left(s.off, s.end) {
			if first && d.stream != nil {
				d.stream.next = n + 1
			}
			continue
		}
		first = false
		written := but.off < s.end && s.off < but.end
		if !written && d.local.has(s.off, s.end) {
			return n, s
		}
	}
	return 0, span{}
}

// makeWay prepares for a write to the bytes from off to end: it reports a part
// that failed, waits while more parts are ready than may be on their way, and
// brings back what has left.
func (d *Draft) makeWay(ctx context.Context, off, end int64) error {
	for {
		d.mu.Lock()
		if err := d.failed; err != nil {
			d.failed = nil
			d.mu.Unlock()
			return fmt.Errorf("sending what was written before: %w", err)
		}
		s := d.stream
		if s == nil {
			d.mu.Unlock()
			return nil
		}
		if d.left(off, end) {
			d.mu.Unlock()
			return d.publishNow(ctx)
		}
		n, _ := d.full(span{off, end})
		landed, wait := s.landed, n != 0 && s.flying >= d.e.cfg.Parallel
		d.mu.Unlock()
		if !wait {
			return d.sendFull(ctx, span{off, end})
		}
		if err := d.await(ctx, landed); err != nil {
			return err
		}
	}
}

// makeWayToCut prepares for cutting the content off at size: what has left
// beyond it cannot be taken out of an upload, nor out of an object that an
// upload may have become.
func (d *Draft) makeWayToCut(ctx context.Context, size int64) error {
	d.mu.Lock()
	s := d.stream
	cut := s != nil && size < d.size && (len(d.doubts) > 0 || d.left(size, d.size) || s.highest > d.grid.part(size-1))
	d.mu.Unlock()
	if !cut {
		return nil
	}
	return d.publishNow(ctx)
}

// bringBack makes bytes that have left readable.
func (d *Draft) bringBack(ctx context.Context, off, end int64) error {
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	d.mu.Lock()
	left := d.left(off, end)
	d.mu.Unlock()
	if !left {
		return nil
	}
	return d.publishNow(ctx)
}

// publishNow commits what is there, because bytes that have left are needed. The
// turn must be held.
func (d *Draft) publishNow(ctx context.Context) error {
	key, o := d.destination()
	if _, err := d.commit(ctx, key, o); err != nil {
		return fmt.Errorf("publishing %s to change what was sent: %w", key, err)
	}
	d.mu.Lock()
	d.mine = d.base
	d.mu.Unlock()
	return nil
}

// destination asks where the content belongs.
func (d *Draft) destination() (string, s3.PutOptions) {
	d.mu.Lock()
	key, f := d.key, d.publish
	d.mu.Unlock()
	if f == nil {
		return key, s3.PutOptions{}
	}
	return f()
}

// await waits until parts have landed.
func (d *Draft) await(ctx context.Context, landed <-chan struct{}) error {
	select {
	case <-landed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for parts of %s: %w: %w", d.name(), s3.ErrCanceled, ctx.Err())
	}
}

// sendFull lets full parts leave, as many as may be on their way, but not those
// with bytes of but. The turn must be held.
func (d *Draft) sendFull(ctx context.Context, but span) error {
	for {
		d.mu.Lock()
		n, part := d.full(but)
		if n == 0 || d.stream != nil && d.stream.flying >= d.e.cfg.Parallel {
			d.mu.Unlock()
			return nil
		}
		begun := d.stream != nil
		if begun {
			d.sendAhead(n, part)
		}
		d.mu.Unlock()
		if !begun {
			if err := d.beginStream(ctx); err != nil {
				return err
			}
		}
	}
}

// beginStream begins the upload.
func (d *Draft) beginStream(ctx context.Context) error {
	key, o := d.destination()
	up, err := d.e.bucket.NewUpload(ctx, key, o)
	if err != nil {
		return fmt.Errorf("beginning the upload of %s: %w", key, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stream = &outflow{up: up, key: key, o: o, next: 2, landed: make(chan struct{})}
	return nil
}

// sendAhead lets part n leave. d.mu must be held.
func (d *Draft) sendAhead(n int, part span) {
	s := d.stream
	s.sending.add(part.off, part.end)
	s.flying++
	s.highest = max(s.highest, n)
	body := d.local.body(part.off, part.end)
	d.wg.Go(func() {
		_, err := s.up.Part(d.ctx, n, body)
		body.release()
		d.mu.Lock()
		defer d.mu.Unlock()
		s.sending.remove(part.off, part.end)
		if err == nil {
			s.away.add(part.off, part.end)
			d.local.remove(part.off, part.end)
		} else {
			s.next = min(s.next, n)
			d.failed = errors.Join(d.failed, err)
		}
		s.flying--
		close(s.landed)
		s.landed = make(chan struct{})
	})
}

// quiet waits until no part is on its way and forgets failures: what failed is
// here still. The turn must be held.
func (d *Draft) quiet(ctx context.Context) error {
	for {
		d.mu.Lock()
		s := d.stream
		if s == nil || s.flying == 0 {
			d.failed = nil
			d.mu.Unlock()
			return nil
		}
		landed := s.landed
		d.mu.Unlock()
		if err := d.await(ctx, landed); err != nil {
			return err
		}
	}
}

// abandonStream gives up the upload and what it has. On an error of the abort
// the upload may be left in the bucket; here it is gone either way.
func (d *Draft) abandonStream(ctx context.Context) error {
	if err := d.quiet(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	s := d.stream
	d.stream = nil
	d.mu.Unlock()
	if s == nil {
		return nil
	}
	return d.e.abort(ctx, s.up)
}
