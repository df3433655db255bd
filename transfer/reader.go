package transfer

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Reader delivers the bytes of one version of an object. Safe for concurrent
// use. An idle one costs little: its buffers are given up when memory is
// short, and what is asked for again is fetched again.
type Reader struct {
	e      *Engine
	obj    s3.Object
	ctx    context.Context // of its requests; ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // its streams
	used   atomic.Int64   // Engine.clock at the last use

	mu      sync.Mutex
	closed  bool     // guarded by mu
	holding bool     // guarded by mu; noted as a holder
	chunks  []*chunk // guarded by mu; in order, without overlap
	cursors cursors  // guarded by mu
	sweep   sweep    // guarded by mu; of random reads
}

// NewReader returns a Reader of a version that is known already. It sends no
// request; each later one is conditional on obj.ETag.
func (e *Engine) NewReader(obj s3.Object) *Reader {
	r := &Reader{e: e, obj: obj}
	r.ctx, r.cancel = context.WithCancel(e.ctx)
	e.readers.Add(1)
	return r
}

// Object returns the version that the Reader delivers.
func (r *Reader) Object() s3.Object { return r.obj }

// ReadAt fills p with the bytes from off on. It returns io.EOF if and only if
// the object ends before p is full, s3.ErrChanged when the version is gone,
// and s3.ErrCanceled when ctx ended.
func (r *Reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading %s at offset %d: %w", r.obj.Key, off, s3.ErrInvalid)
	}
	var end error
	if rest := max(r.obj.Size-off, 0); int64(len(p)) > rest {
		p, end = p[:rest], io.EOF
	}
	n := 0
	for n < len(p) {
		m, err := r.readSome(ctx, p[n:], off+int64(n))
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, end
}

// readSome fills the beginning of p.
func (r *Reader) readSome(ctx context.Context, p []byte, off int64) (int, error) {
	got, err := r.await(ctx, off, len(p), true)
	switch {
	case err != nil:
		return 0, err
	case got.buf == nil:
		if err := r.readRandom(ctx, p, off); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	n := copy(p, got.data)
	got.buf.release()
	r.e.relieve()
	return n, nil
}

// arrived is bytes of a chunk, held for the caller. Without a buffer it says
// that the bytes should be read as random access.
type arrived struct {
	data []byte
	buf  *buffer
	at   int // where data begins in buf
}

// await returns at least one and at most n bytes from off on, when all of them
// that lie in one chunk are here. Without a chunk it makes one, if mayFetch and
// the read is sequential.
func (r *Reader) await(ctx context.Context, off int64, n int, mayFetch bool) (arrived, error) {
	r.used.Store(r.e.clock.Add(1))
	var spare *buffer // for a chunk that has to be made
	for {
		r.mu.Lock()
		k := r.find(off)
		switch {
		case r.closed:
			r.mu.Unlock()
			spare.releaseIfAny()
			return arrived{}, fmt.Errorf("reading %s: %w", r.obj.Key, os.ErrClosed)
		case k != nil:
			spare.releaseIfAny() // somebody else was faster
		case spare != nil:
			k = r.demand(off, spare)
		default:
			sequential := mayFetch && !r.cached(off) && r.expect(off, off+int64(n))
			r.mu.Unlock()
			if !sequential {
				return arrived{}, nil
			}
			var err error
			if spare, err = r.e.pool.get(ctx, reading, r.chunkSize(off)); err != nil {
				return arrived{}, err
			}
			continue
		}
		spare = nil
		got, err := r.take(ctx, k, off, min(off+int64(n), k.end))
		if err != errDropped {
			return got, err
		}
	}
}

// take waits for the bytes from off to end of chunk k. It is called with r.mu
// held and returns without.
func (r *Reader) take(ctx context.Context, k *chunk, off, end int64) (got arrived, err error) {
	defer r.mu.Unlock()
	defer k.buf.hold().release() // also if the chunk is given up meanwhile
	r.touch(k, off, end)
	if k.filled >= end {
		return k.slice(off, end), nil
	}
	w := k.wait(end)
	k.cursor.stall(time.Now())
	r.mu.Unlock()
	select {
	case err = <-w.done:
	case <-ctx.Done():
		err = fmt.Errorf("reading %s: %w: %w", r.obj.Key, s3.ErrCanceled, ctx.Err())
	}
	r.mu.Lock()
	k.cursor.unstall(time.Now())
	if err == nil {
		got = k.slice(off, end)
	}
	k.forget(w)
	return got, err
}

// find returns the chunk that has or will have byte off. r.mu must be held.
func (r *Reader) find(off int64) *chunk {
	i := r.search(off)
	if i < len(r.chunks) && r.chunks[i].off <= off {
		return r.chunks[i]
	}
	return nil
}

// search returns the index of the first chunk that ends after off. r.mu must be
// held.
func (r *Reader) search(off int64) int {
	i, _ := slices.BinarySearchFunc(r.chunks, off, func(k *chunk, off int64) int {
		if k.end <= off {
			return -1
		}
		return 1
	})
	return i
}

// Close cancels what is on the way, waits for it to end and gives the buffers
// up. Views stay valid until they are released.
func (r *Reader) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.cancel()
	for _, c := range r.cursors.list {
		r.retire(c)
	}
	r.mu.Unlock()
	r.wg.Wait()
	r.mu.Lock()
	for len(r.chunks) > 0 {
		r.drop(r.chunks[len(r.chunks)-1], os.ErrClosed)
	}
	r.mu.Unlock()
	r.e.holds(r, false)
	r.e.readers.Add(-1)
	return nil
}

func (r *Reader) lastUse() int64 { return r.used.Load() }

// shed gives up chunks that nobody waits for: those already read first, then
// what lies furthest ahead.
func (r *Reader) shed(need int64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var freed int64
	for _, readOnly := range []bool{true, false} {
		for i := len(r.chunks) - 1; i >= 0 && freed < need; i-- {
			k := r.chunks[i]
			if !k.complete() || readOnly && k.read < k.end-k.off {
				continue
			}
			freed += classSize(k.buf.class)
			r.drop(k, errDropped)
		}
	}
	return freed
}
