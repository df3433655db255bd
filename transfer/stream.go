package transfer

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// stream is one GET on its way into chunks that follow each other.
type stream struct {
	chunks []*chunk
	ctx    context.Context
	cancel context.CancelFunc
	wait   time.Duration // until the answer began
}

// wanted tells whether somebody waits for the stream's bytes. Reader.mu must be
// held.
func (s *stream) wanted() bool {
	return slices.ContainsFunc(s.chunks, func(k *chunk) bool { return len(k.waiters) > 0 })
}

// demand asks for the bytes from off on, which a run of reads wants now, and
// returns the chunk that begins there, with b as its buffer. It takes what
// memory there is for more. r.mu must be held.
func (r *Reader) demand(off int64, b *buffer) *chunk {
	c := r.cursorAt(off)
	if c == nil { // other reads took its place meanwhile
		c = r.begin(window{next: off, step: firstRange / 4})
	}
	c.ahead = off
	r.ask(c, max(r.due(c), int64(r.chunkSize(off))), b)
	return r.find(off)
}

// due returns how much c is to ask for now. r.mu must be held.
func (r *Reader) due(c *cursor) int64 {
	most, width := r.e.ahead(c.pace.wanted())
	return c.due(most, width)
}

// cursorAt returns the cursor that is to go on at off. r.mu must be held.
func (r *Reader) cursorAt(off int64) *cursor {
	for _, c := range r.cursors.list {
		if c.near(off) {
			return c
		}
	}
	return nil
}

// chunkSize returns how many bytes the chunk that begins at off holds.
func (r *Reader) chunkSize(off int64) int {
	return int(min(pieceSize-off%pieceSize, r.obj.Size-off))
}

// readAhead asks for as much as is due, if there is memory to spare. r.mu must
// be held.
func (r *Reader) readAhead(c *cursor) {
	if r.closed {
		return
	}
	for c.ahead < r.obj.Size {
		if k := r.find(c.ahead); k != nil {
			c.ahead = k.end // another run's, or one that was left over
			continue
		}
		n := r.due(c)
		if n == 0 || !r.ask(c, n, nil) {
			return
		}
		if !c.counted {
			c.counted = true
			r.e.streams.Add(1)
		}
	}
}

// ask sends a GET for n bytes, or the fewer for which there is memory, from
// c.ahead on. first, if not nil, is the buffer of the first chunk. r.mu must be
// held.
func (r *Reader) ask(c *cursor, n int64, first *buffer) bool {
	end := min(c.ahead+n, r.obj.Size)
	if i := r.search(c.ahead); i < len(r.chunks) {
		end = min(end, r.chunks[i].off)
	}
	// A range ends where a chunk does, but for the first one of an object.
	if c.ahead > 0 && end < r.obj.Size && end-end%pieceSize > c.ahead {
		end -= end % pieceSize
	}
	var chunks []*chunk
	off, last, next := c.ahead, first, first
	for off < end {
		size := min(int64(r.chunkSize(off)), end-off)
		if next == nil {
			next = r.e.pool.tryGet(reading, int(size), last)
		}
		if next == nil {
			break
		}
		chunks = append(chunks, &chunk{off: off, end: off + size, filled: off, buf: next, cursor: c})
		off, last, next = off+size, next, nil
	}
	if len(chunks) == 0 {
		return false
	}
	c.asked(off - c.ahead)
	r.start(c, chunks)
	return true
}

// start begins a stream into chunks. r.mu must be held.
func (r *Reader) start(c *cursor, chunks []*chunk) *stream {
	s := r.register(c, chunks)
	r.wg.Go(func() {
		o := s3.GetOptions{
			Range:   s3.Range{Offset: chunks[0].off, Length: chunks[len(chunks)-1].end - chunks[0].off},
			IfMatch: r.obj.ETag,
		}
		asked := time.Now()
		body, err := r.e.bucket.Get(s.ctx, r.obj.Key, o)
		s.wait = time.Since(asked)
		if err != nil {
			body = nil
		} else {
			err = r.check(body, o.Range.Offset)
		}
		r.run(s, body, err)
	})
	return s
}

// register makes chunks known as on their way. r.mu must be held.
func (r *Reader) register(c *cursor, chunks []*chunk) *stream {
	s := &stream{chunks: chunks}
	s.ctx, s.cancel = context.WithCancel(r.ctx)
	c.streams[s] = struct{}{}
	for _, k := range chunks {
		k.buf.hold() // for the stream, so that it never writes to memory of others
	}
	i := r.search(chunks[0].off)
	r.chunks = slices.Insert(r.chunks, i, chunks...)
	if !r.holding {
		r.holding = true
		r.e.holds(r, true)
	}
	return s
}

// check compares an answer with the version that was asked for: not every
// server knows If-Match.
func (r *Reader) check(body *s3.Body, off int64) error {
	kind := error(nil)
	switch {
	case r.obj.ETag != "" && body.Info.ETag != "" && body.Info.ETag != r.obj.ETag:
		kind = s3.ErrChanged
	case body.Info.Size != r.obj.Size:
		kind = s3.ErrChanged
	case body.Range.Offset != off:
		kind = s3.ErrCorrupt
	default:
		return nil
	}
	return &s3.Error{Op: s3.OpGet, Key: r.obj.Key, Kind: kind}
}

// finish closes an answer. All that was wanted of it is here, so that an error
// changes nothing.
func (r *Reader) finish(body *s3.Body) {
	if err := body.Close(); err != nil {
		r.e.log.Debug("closing an answer", "key", r.obj.Key, "err", err)
	}
}

// run moves the body of a stream into its chunks, and ends the stream.
func (r *Reader) run(s *stream, body *s3.Body, err error) {
	if err == nil {
		began := time.Now()
		if err = r.fill(s, body); err == nil {
			r.e.measured(s.chunks[len(s.chunks)-1].end-s.chunks[0].off, s.wait, time.Since(began))
		}
	}
	if body != nil {
		r.finish(body)
	}
	err = s.reason(err)
	s.cancel()
	r.mu.Lock()
	delete(s.chunks[0].cursor.streams, s)
	for _, k := range s.chunks {
		if !k.complete() || k.cursor.retired {
			r.drop(k, err)
		}
	}
	r.mu.Unlock()
	for _, k := range s.chunks {
		k.buf.release()
	}
	r.e.relieve()
}

// reason is what those who wait for a stream are told that ended with err: if
// only the stream was cancelled, which happens when nobody waited, those who
// came since ask again; a closed Reader tells them why.
func (s *stream) reason(err error) error {
	if s.ctx.Err() != nil {
		return errDropped
	}
	return err
}

// fill reads a body into the chunks and hands the bytes on as they arrive.
func (r *Reader) fill(s *stream, body io.Reader) error {
	for _, k := range s.chunks {
		for room := k.room(); len(room) > 0; {
			n, err := body.Read(room)
			if n > 0 {
				room = room[n:]
				r.mu.Lock()
				k.arrive(n)
				r.mu.Unlock()
			}
			if len(room) == 0 {
				break
			}
			if errors.Is(err, io.EOF) {
				err = r.damaged(k.end - int64(len(room)))
			}
			if err != nil {
				return err
			}
		}
		r.remember(k)
	}
	return nil
}

// drop takes a chunk out and tells those who wait for it why. r.mu must be held.
func (r *Reader) drop(k *chunk, why error) {
	i, found := slices.BinarySearchFunc(r.chunks, k.off, func(c *chunk, off int64) int { return int(c.off - off) })
	if !found || r.chunks[i] != k {
		return
	}
	r.chunks = slices.Delete(r.chunks, i, i+1)
	k.fail(why)
	k.buf.release()
}
