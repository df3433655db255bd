package transfer

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// body reads a run of a draft's bytes for a request, without copying what is in
// buffers. What it reads must not be changed until release.
type body struct {
	segs []segment
	size int64
	pos  int64
}

// segment is bytes of a body that lie together: in a buffer, in a file, or, if
// in neither, zeros.
type segment struct {
	off, end int64 // within the body
	buf      *buffer
	data     []byte
	file     *os.File
	at       int64 // in file
}

// zeros is what a hole is sent from. It is never written to.
var zeros [64 << 10]byte

// body returns the bytes from off to end, zeros where nothing is here. Draft.mu
// must be held.
func (l *local) body(off, end int64) *body {
	b := &body{size: end - off}
	add := func(s segment) { b.segs = append(b.segs, s) }
	for at := off; at < end; {
		in, until := l.mem.at(at, end)
		if in {
			i := at / maxBuffer
			until = min(until, (i+1)*maxBuffer)
			buf := l.bufs[i]
			add(segment{off: at - off, end: until - off, buf: buf.hold(), data: buf.data[at-i*maxBuffer : until-i*maxBuffer]})
		} else if in, until = l.disk.at(at, until); in {
			add(segment{off: at - off, end: until - off, file: l.file.File, at: at})
		} else {
			add(segment{off: at - off, end: until - off})
		}
		at = until
	}
	return b
}

// release gives the buffers up.
func (b *body) release() {
	for _, s := range b.segs {
		s.buf.releaseIfAny()
	}
	b.segs = nil
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && b.pos < b.size {
		s := b.segs[b.segment()]
		want := p[n:min(int64(len(p)), int64(n)+s.end-b.pos)]
		if err := s.read(want, b.pos-s.off); err != nil {
			return n, err
		}
		n += len(want)
		b.pos += int64(len(want))
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// segment returns the index of the segment at pos, which must be before the end.
func (b *body) segment() int {
	lo, hi := 0, len(b.segs)
	for lo < hi {
		if mid := (lo + hi) / 2; b.segs[mid].end <= b.pos {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func (s segment) read(p []byte, off int64) error {
	switch {
	case s.data != nil:
		copy(p, s.data[off:])
	case s.file != nil:
		if _, err := s.file.ReadAt(p, s.at+off); err != nil {
			return fmt.Errorf("reading a staging file: %w", err)
		}
	default:
		clear(p)
	}
	return nil
}

// WriteTo implements [io.WriterTo]: what is in buffers is written from there.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	from := b.pos
	var scratch []byte
	for b.pos < b.size {
		s := b.segs[b.segment()]
		p := s.data
		switch {
		case p != nil:
			p = p[b.pos-s.off:]
		case s.file != nil:
			if scratch == nil {
				scratch = make([]byte, 256<<10)
			}
			p = scratch[:min(int64(len(scratch)), s.end-b.pos)]
			if err := s.read(p, b.pos-s.off); err != nil {
				return b.pos - from, err
			}
		default:
			p = zeros[:min(int64(len(zeros)), s.end-b.pos)]
		}
		n, err := w.Write(p)
		b.pos += int64(n)
		if err != nil {
			return b.pos - from, err
		}
	}
	return b.pos - from, nil
}

// Seek implements [io.Seeker].
func (b *body) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += b.pos
	case io.SeekEnd:
		off += b.size
	}
	if off < 0 {
		return 0, errors.New("seeking before the start of a body")
	}
	b.pos = off
	return off, nil
}

// Len returns how many bytes are left to read.
func (b *body) Len() int { return int(max(b.size-b.pos, 0)) }
