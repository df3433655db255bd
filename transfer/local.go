package transfer

import (
	"fmt"
	"io"
	"math"
)

// local is the bytes of a draft that are here, in buffers and in a staging
// file. Draft.mu guards it.
type local struct {
	e    *Engine
	mem  ranges            // in buffers
	disk ranges            // in file, and not in buffers
	bufs map[int64]*buffer // by offset / maxBuffer; each begins at a multiple of maxBuffer
	file *stageFile        // nil until memory did not suffice
	old  *stageFile        // the frozen one that file took the place of
}

// has tells whether all bytes from off to end are here.
func (l *local) has(off, end int64) bool {
	return l.mem.covers(off, end) || len(l.missing(off, end)) == 0
}

// missing returns the bytes between off and end that are not here.
func (l *local) missing(off, end int64) ranges {
	var out ranges
	for _, s := range l.mem.gaps(off, end) {
		out = append(out, l.disk.gaps(s.off, s.end)...)
	}
	return out
}

// memory returns how many bytes of buffers are in use.
func (l *local) memory() int64 {
	var n int64
	for _, b := range l.bufs {
		n += int64(len(b.data))
	}
	return n
}

// room makes sure that there are buffers for the bytes from off to end. It
// changes nothing if not.
func (l *local) room(off, end int64) bool {
	var got map[int64]*buffer
	for i := off / maxBuffer; i*maxBuffer < end; i++ {
		need := int(min(end-i*maxBuffer, maxBuffer))
		old := l.bufs[i]
		if old != nil && len(old.data) >= need {
			continue
		}
		if l.bufs[i-1] != nil && len(l.bufs[i-1].data) == maxBuffer {
			need = maxBuffer // it will be filled, too
		}
		b := l.e.pool.tryGet(writing, need, l.bufs[i-1])
		if b == nil {
			for _, b := range got {
				b.release()
			}
			return false
		}
		if got == nil {
			got = map[int64]*buffer{}
		}
		got[i] = b
	}
	for i, b := range got {
		if old := l.bufs[i]; old != nil {
			copy(b.data, old.data)
			old.release()
		}
		l.bufs[i] = b
	}
	return true
}

// put copies p, for which there is room, to off in memory.
func (l *local) put(p []byte, off int64) {
	end := off + int64(len(p))
	for at := off; at < end; {
		i := at / maxBuffer
		at += int64(copy(l.bufs[i].data[at-i*maxBuffer:], p[at-off:]))
	}
	l.mem.add(off, end)
	l.offDisk(off, end)
}

// putDisk writes p to off in the file. On an error nothing has changed.
func (l *local) putDisk(p []byte, off int64) error {
	end := off + int64(len(p))
	if err := l.openFile(); err != nil {
		return err
	}
	if !l.disk.covers(off, end) {
		if err := reserve(l.file.File, off, int64(len(p))); err != nil {
			return full(err)
		}
	}
	if _, err := l.file.WriteAt(p, off); err != nil {
		return full(err)
	}
	l.offMemory(off, end)
	l.onDisk(off, end)
	return nil
}

// spill moves what is in buffers to the file, but for the bytes in stay. On an
// error nothing has changed.
func (l *local) spill(stay ranges) error {
	var move ranges
	for _, s := range l.mem {
		move = append(move, stay.gaps(s.off, s.end)...)
	}
	if len(move) == 0 {
		return nil
	}
	if err := l.openFile(); err != nil {
		return err
	}
	for _, s := range move {
		for at := s.off; at < s.end; {
			i := at / maxBuffer
			part := l.bufs[i].data[at-i*maxBuffer : min(s.end-i*maxBuffer, maxBuffer)]
			if _, err := l.file.WriteAt(part, at); err != nil {
				return full(err)
			}
			at += int64(len(part))
		}
	}
	for _, s := range move {
		l.offMemory(s.off, s.end)
		l.onDisk(s.off, s.end)
	}
	return nil
}

// offMemory takes bytes out of memory, and frees the buffers that held no
// others.
func (l *local) offMemory(off, end int64) {
	for _, s := range l.mem.within(off, end) {
		l.mem.remove(s.off, s.end)
		for i := s.off / maxBuffer; i*maxBuffer < s.end; i++ {
			if b := l.bufs[i]; b != nil && !l.mem.touches(i*maxBuffer, (i+1)*maxBuffer) {
				delete(l.bufs, i)
				b.release()
			}
		}
	}
}

// onDisk and offDisk keep the books of what the file has.
func (l *local) onDisk(off, end int64) {
	l.e.staged.Add(end - off - l.disk.within(off, end).size())
	l.disk.add(off, end)
}

func (l *local) offDisk(off, end int64) {
	l.e.staged.Add(-l.disk.within(off, end).size())
	l.disk.remove(off, end)
}

// remove forgets the bytes from off to end and frees what held them.
func (l *local) remove(off, end int64) {
	for _, s := range l.disk.within(off, end) {
		if !l.file.frozen {
			punch(l.file.File, s.off, s.len())
		}
	}
	l.offDisk(off, end)
	l.offMemory(off, end)
}

// clear forgets everything and closes the file.
func (l *local) clear() {
	for _, b := range l.bufs {
		b.release()
	}
	l.offDisk(0, math.MaxInt64)
	l.mem, l.bufs = nil, map[int64]*buffer{}
	for _, f := range []*stageFile{l.file, l.old} {
		if f == nil {
			continue
		}
		if err := f.Close(); err != nil { // nobody needs what was in it
			l.e.log.Debug("closing a staging file", "err", err)
		}
	}
	l.file, l.old = nil, nil
}

// readAt fills p with bytes that are here.
func (l *local) readAt(p []byte, off int64) error {
	for n := 0; n < len(p); {
		at := off + int64(n)
		in, end := l.mem.at(at, off+int64(len(p)))
		if !in {
			m := int(end - at)
			if _, err := l.file.ReadAt(p[n:n+m], at); err != nil {
				return fmt.Errorf("reading a staging file: %w", err)
			}
			n += m
			continue
		}
		for at < end {
			i := at / maxBuffer
			m := copy(p[n:], l.bufs[i].data[at-i*maxBuffer:min(end-i*maxBuffer, maxBuffer)])
			n, at = n+m, at+int64(m)
		}
	}
	return nil
}

// openFile makes sure that there is a file to write to.
func (l *local) openFile() error {
	if l.file != nil && !l.file.frozen {
		return nil
	}
	f, err := createStage(l.e.cfg.StageDir)
	if err != nil {
		return full(err)
	}
	if l.file != nil {
		if err := thaw(f, l.file, l.disk); err != nil {
			f.Close()
			return err
		}
		l.old = l.file // what is on its way reads it still
	}
	l.file = &stageFile{File: f}
	return nil
}

// thaw copies what is in use of a file that must not change.
func thaw(dst io.WriterAt, src io.ReaderAt, what ranges) error {
	for _, s := range what {
		_, err := io.Copy(io.NewOffsetWriter(dst, s.off), io.NewSectionReader(src, s.off, s.len()))
		if err != nil {
			return full(err)
		}
	}
	return nil
}
