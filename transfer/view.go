package transfer

import (
	"context"
	"fmt"

	"github.com/cgs3fs/cgs3fs/s3"
)

// View is bytes of an object where they lie. Release must be called once it is
// not used any more.
type View struct {
	data []byte
	bufs [2]*buffer
}

// Bytes returns the bytes, which must not be changed, until Release.
func (v *View) Bytes() []byte { return v.data }

// Release gives the bytes up. It may be called again.
func (v *View) Release() {
	for i, b := range v.bufs {
		if b != nil {
			b.release()
			v.bufs[i] = nil
		}
	}
	v.data = nil
}

// View is ReadAt without a copy, where the bytes lie side by side in memory. It
// returns fewer than n bytes, or none, only at the end of the object, and then
// no error.
func (r *Reader) View(ctx context.Context, off int64, n int) (View, error) {
	if off < 0 {
		return View{}, fmt.Errorf("reading %s at offset %d: %w", r.obj.Key, off, s3.ErrInvalid)
	}
	n = int(min(int64(n), max(r.obj.Size-off, 0)))
	if n <= 0 {
		return View{}, nil
	}
	a, err := r.await(ctx, off, n, true)
	if err != nil {
		return View{}, err
	}
	if a.buf != nil && len(a.data) == n {
		return View{data: a.data, bufs: [2]*buffer{a.buf}}, nil
	}
	var b arrived
	if a.buf != nil {
		// Only what has memory already is waited for while a is held.
		if b, err = r.await(ctx, off+int64(len(a.data)), n-len(a.data), false); err != nil {
			a.buf.release()
			return View{}, err
		}
		if data, ok := a.adjoining(b, n); ok {
			return View{data: data, bufs: [2]*buffer{a.buf, b.buf}}, nil
		}
	}
	return r.gather(ctx, off, n, a, b)
}

// gather copies n bytes that do not lie side by side: those of a, of b, and
// what follows, which is yet to be fetched.
func (r *Reader) gather(ctx context.Context, off int64, n int, a, b arrived) (View, error) {
	v := r.e.scratch(n, a.buf == nil || len(a.data)+len(b.data) == n)
	m := copy(v.data, a.data)
	m += copy(v.data[m:], b.data)
	a.buf.releaseIfAny()
	b.buf.releaseIfAny()
	var err error
	if a.buf == nil {
		err = r.readRandom(ctx, v.data, off)
	} else if m < n {
		_, err = r.ReadAt(ctx, v.data[m:], off+int64(m))
	}
	if err != nil {
		v.Release()
		return View{}, err
	}
	return v, nil
}

// scratch returns memory for a view of n bytes: the pool's, if it has some to
// spare and the caller will not wait for more while holding it.
func (e *Engine) scratch(n int, mayHold bool) View {
	if mayHold && n <= maxBuffer {
		if b := e.pool.tryGet(reading, n, nil); b != nil {
			return View{data: b.data[:n], bufs: [2]*buffer{b}}
		}
	}
	return View{data: make([]byte, n)}
}

// adjoining returns n bytes of a and, behind it in memory, b.
func (a arrived) adjoining(b arrived, n int) ([]byte, bool) {
	if b.buf == nil || len(a.data)+len(b.data) != n || a.at+len(a.data) != len(a.buf.data) || b.at != 0 {
		return nil, false
	}
	return a.buf.adjoining(b.buf, a.at, n)
}
