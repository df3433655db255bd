package transfer

import "time"

const (
	// nearBack and nearAhead are how far from where a sequential reader is
	// expected a read may be and still be its next one: the kernel sends
	// several reads at once, and they overtake each other.
	nearBack  = 512 << 10
	nearAhead = 1 << 20

	// strayGap is how far behind another stray read one may begin and still
	// go on with it.
	strayGap = 128 << 10

	// keepBehind is how much of what was read stays for a moment, because the
	// kernel reads a little twice; keepUnread is after how much more a chunk
	// goes although not all of it was asked for.
	keepBehind = 1 << 20
	keepUnread = 8 << 20
)

// cursor is one sequential run of reads. Reader.mu guards it.
type cursor struct {
	window
	used    int64 // Engine.clock at the last use
	retired bool
	streams map[*stream]struct{}
	counted bool // in Engine.streams

	waiting int       // how many wait for bytes
	since   time.Time // when the first of them began
	waited  time.Duration
}

// stall and unstall measure for how long anybody waits.
func (c *cursor) stall(now time.Time) {
	if c.waiting == 0 {
		c.since = now
	}
	c.waiting++
}

func (c *cursor) unstall(now time.Time) {
	c.waiting--
	if c.waiting == 0 {
		c.waited += now.Sub(c.since)
	}
}

// near tells whether a read at off goes on with this run.
func (c *cursor) near(off int64) bool {
	return c != nil && off >= c.next-nearBack && off <= max(c.next, c.ahead)+nearAhead
}

// cursors are the runs of one Reader, two because programs that read with two
// threads halve a file; and the ends of the last reads that belonged to none of
// them, because two in a row begin a run.
type cursors struct {
	list   [2]*cursor // nil is a free one
	strays [4]int64
	stray  int
}

// expect tells whether the bytes from off to end, which are not here, are asked
// for by a sequential run, and if so makes that run's cursor go there. r.mu
// must be held.
func (r *Reader) expect(off, end int64) bool {
	if c := r.cursorAt(off); c != nil {
		r.resume(c, off)
		return true
	}
	if off != 0 && !r.cursors.continues(off) {
		r.cursors.note(end)
		return false
	}
	r.begin(window{next: off, ahead: off, step: firstRange / 4})
	return true
}

// begin starts a new run in the place of the one used least recently. r.mu must
// be held.
func (r *Reader) begin(w window) *cursor {
	i := 0
	if a, b := r.cursors.list[0], r.cursors.list[1]; a != nil && (b == nil || b.used < a.used) {
		i = 1
	}
	r.retire(r.cursors.list[i])
	c := &cursor{window: w, used: r.used.Load(), streams: map[*stream]struct{}{}}
	r.cursors.list[i] = c
	return c
}

// resume makes c ask next for what begins at off: its chunks there were given
// up, or the reader skipped what was not asked for yet.
func (r *Reader) resume(c *cursor, off int64) {
	c.ahead = off
	c.next = min(c.next, off)
}

// continues tells whether off goes on where a stray read ended.
func (s *cursors) continues(off int64) bool {
	for _, end := range s.strays {
		if end != 0 && off >= end && off <= end+strayGap {
			return true
		}
	}
	return false
}

func (s *cursors) note(end int64) {
	s.strays[s.stray%len(s.strays)] = end
	s.stray++
}

// retire ends a run: what it has on the way is cancelled and what nobody waits
// for is given up. r.mu must be held.
func (r *Reader) retire(c *cursor) {
	if c == nil || c.retired {
		return
	}
	c.retired = true
	for s := range c.streams {
		if !s.wanted() {
			s.cancel()
		}
	}
	for i := len(r.chunks) - 1; i >= 0; i-- {
		if k := r.chunks[i]; k.cursor == c && k.complete() {
			r.drop(k, errDropped)
		}
	}
	if c.counted {
		r.e.streams.Add(-1)
	}
}

// touch notes that the bytes from off to end of chunk k were asked for, lets go
// of what lies behind and asks for what lies ahead. r.mu must be held.
func (r *Reader) touch(k *chunk, off, end int64) {
	c := k.cursor
	k.read += end - off
	c.used = r.used.Load()
	if end <= c.next || c.retired {
		return
	}
	c.pace.note(time.Now(), end-c.next, c.takeWaited())
	c.next = end
	r.leaveBehind(c)
	r.readAhead(c)
}

func (c *cursor) takeWaited() time.Duration {
	d := c.waited
	c.waited = 0
	return d
}

// leaveBehind gives up the chunks that the run has read. r.mu must be held.
func (r *Reader) leaveBehind(c *cursor) {
	for i := 0; i < len(r.chunks); {
		k := r.chunks[i]
		if k.end > c.next-keepBehind {
			return
		}
		done := k.read >= k.end-k.off || k.end <= c.next-keepUnread
		if k.cursor == c && done && k.complete() {
			r.drop(k, errDropped)
			continue
		}
		i++
	}
}
