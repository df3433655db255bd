package transfer

import (
	"errors"
	"slices"
)

// errDropped tells a waiter that a chunk was given up and must be fetched anew.
var errDropped = errors.New("chunk was dropped")

// chunk is a run of bytes of an object in one buffer, here or on the way.
// Reader.mu guards it, but for the bytes from filled to end, which belong to the
// stream that brings them.
type chunk struct {
	off, end int64
	filled   int64 // end of what has arrived
	read     int64 // how many bytes of it were delivered
	buf      *buffer
	cursor   *cursor // that asked for it
	waiters  []*chunkWaiter
}

type chunkWaiter struct {
	end  int64      // of the bytes waited for
	done chan error // holds one
}

// wait returns a waiter that is told when the bytes up to end are here.
func (c *chunk) wait(end int64) *chunkWaiter {
	w := &chunkWaiter{end: end, done: make(chan error, 1)}
	c.waiters = append(c.waiters, w)
	return w
}

// forget ends a wait that was told or is given up.
func (c *chunk) forget(w *chunkWaiter) {
	if i := slices.Index(c.waiters, w); i >= 0 {
		c.waiters = slices.Delete(c.waiters, i, i+1)
	}
}

// complete tells whether all has arrived; nobody waits then.
func (c *chunk) complete() bool { return c.filled == c.end }

// slice returns the bytes from off to end, held.
func (c *chunk) slice(off, end int64) arrived {
	at := int(off - c.off)
	return arrived{data: c.buf.data[at:int(end-c.off)], buf: c.buf.hold(), at: at}
}

// room returns the memory for the bytes that are still to come.
func (c *chunk) room() []byte { return c.buf.data[c.filled-c.off : c.end-c.off] }

// arrive notes n more bytes and tells those who wait for them.
func (c *chunk) arrive(n int) {
	c.filled += int64(n)
	c.waiters = slices.DeleteFunc(c.waiters, func(w *chunkWaiter) bool {
		if w.end > c.filled {
			return false
		}
		w.done <- nil
		return true
	})
}

// fail tells all who wait that the bytes will not come.
func (c *chunk) fail(err error) {
	for _, w := range c.waiters {
		w.done <- err
	}
	c.waiters = nil
}

// releaseIfAny is release for a buffer that may be nil.
func (b *buffer) releaseIfAny() {
	if b != nil {
		b.release()
	}
}
