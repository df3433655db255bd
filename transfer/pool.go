package transfer

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

const (
	minBuffer = 4 << 10 // one page: what the smallest file costs
	maxBuffer = 1 << 20 // the largest request that the kernel makes
	classes   = 9       // powers of two from minBuffer to maxBuffer

	minMemory = 8 * maxBuffer // below this readers and writers have no share each

	// idleAfter is how long a buffer stays resident that nobody takes.
	idleAfter = 5 * time.Second
)

// lane tells what a buffer is for. Each lane has a share of the budget that the
// other cannot take.
type lane int

const (
	reading lane = iota
	writing
	lanes
)

// pool lends buffers out of one budget of bytes. Safe for concurrent use.
type pool struct {
	limit   int64
	reserve int64        // of each lane; bytes that the other cannot take
	shed    func(int64)  // asked, with no lock held, to free that many bytes when somebody has to wait
	starved atomic.Int32 // how many wait

	mu      sync.Mutex
	used    [lanes]int64     // bytes lent; guarded by mu
	idle    int64            // bytes of free buffers still resident; guarded by mu
	lowIdle int64            // the least idle since the last trim; guarded by mu
	peak    int64            // of used and idle together; guarded by mu
	classes [classes]*slots  // guarded by mu
	queue   [lanes][]*waiter // guarded by mu
	trim    *time.Timer      // nil while nothing is idle; guarded by mu
	closed  bool             // guarded by mu
}

type waiter struct {
	class int
	ready chan *buffer // holds one
}

// buffer is a piece of the pool's memory. Whoever has it holds it; the last
// release gives it back.
type buffer struct {
	data  []byte
	pool  *pool
	lane  lane
	class int
	slot  int32
	refs  atomic.Int32
}

func newPool(limit int64, shed func(int64)) (*pool, error) {
	if limit < minMemory {
		return nil, fmt.Errorf("memory for transfers: %d bytes are too few, at least %d are needed", limit, minMemory)
	}
	p := &pool{limit: limit, shed: shed}
	p.reserve = min(max(limit/8, 2*maxBuffer), 32<<20)
	for c := range p.classes {
		count := limit / classSize(c)
		mem, err := newRegion(int(classSize(c)), int(count))
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		// The largest come back in the order in which a reader let them go, and
		// lie side by side again for the next bytes in order.
		p.classes[c] = &slots{mem: mem, count: int32(count), queue: classSize(c) == maxBuffer}
	}
	return p, nil
}

func classSize(class int) int64 { return minBuffer << class }

// classOf returns the smallest class with room for n bytes.
func classOf(n int) int {
	if n <= minBuffer {
		return 0
	}
	if n > maxBuffer {
		panic(fmt.Sprintf("transfer: no buffer holds %d bytes", n))
	}
	return bits.Len(uint(n-1)) - bits.Len(uint(minBuffer-1))
}

// get lends a buffer of at least n bytes and waits its turn for it. It fails
// with s3.ErrCanceled when ctx ends.
func (p *pool) get(ctx context.Context, l lane, n int) (*buffer, error) {
	c := classOf(n)
	p.mu.Lock()
	if len(p.queue[l]) == 0 && p.fits(l, c) {
		defer p.mu.Unlock()
		return p.lend(l, c, -1), nil
	}
	w := &waiter{class: c, ready: make(chan *buffer, 1)}
	p.queue[l] = append(p.queue[l], w)
	p.starved.Add(1)
	p.mu.Unlock()

	p.shed(classSize(c))
	select {
	case b := <-w.ready:
		return b, nil
	case <-ctx.Done():
		p.leave(l, w)
		return nil, fmt.Errorf("waiting for memory: %w: %w", s3.ErrCanceled, ctx.Err())
	}
}

// tryGet is get without waiting: nil if there is nothing to spare. The buffer
// after, if not nil, is the one that holds the bytes before.
func (p *pool) tryGet(l lane, n int, after *buffer) *buffer {
	c := classOf(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue[l]) > 0 || !p.fits(l, c) {
		return nil
	}
	slot := int32(-1)
	if after != nil && after.class == c {
		slot = after.slot
	}
	return p.lend(l, c, slot)
}

// leave ends a wait whose result nobody wants.
func (p *pool) leave(l lane, w *waiter) {
	p.mu.Lock()
	for i, x := range p.queue[l] {
		if x == w {
			p.queue[l] = append(p.queue[l][:i:i], p.queue[l][i+1:]...)
			p.starved.Add(-1)
			p.serve() // those behind may need less
			p.mu.Unlock()
			return
		}
	}
	p.mu.Unlock()
	(<-w.ready).release()
}

// fits tells whether lane l may have a buffer of class c now.
func (p *pool) fits(l lane, c int) bool {
	size := classSize(c)
	return p.used[l]+size <= p.limit-p.reserve && p.used[reading]+p.used[writing]+size <= p.limit
}

// lend hands out a buffer that fits.
func (p *pool) lend(l lane, c int, after int32) *buffer {
	size := classSize(c)
	s := p.classes[c]
	slot, resident := s.take(after)
	if resident {
		p.idle -= size
		p.lowIdle = min(p.lowIdle, p.idle)
	} else {
		p.makeRoom(size)
	}
	p.used[l] += size
	p.peak = max(p.peak, p.used[reading]+p.used[writing]+p.idle)
	b := &buffer{data: s.mem.slot(slot), pool: p, lane: l, class: c, slot: slot}
	b.refs.Store(1)
	return b
}

// makeRoom gives back idle memory of other sizes until size more bytes fit.
func (p *pool) makeRoom(size int64) {
	for c := classes - 1; c >= 0; c-- {
		for p.used[reading]+p.used[writing]+p.idle+size > p.limit && p.classes[c].chill() {
			p.idle -= classSize(c)
		}
	}
	p.lowIdle = min(p.lowIdle, p.idle)
}

// hold makes one more release necessary.
func (b *buffer) hold() *buffer {
	b.refs.Add(1)
	return b
}

// release gives the buffer up; b must not be used after it.
func (b *buffer) release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("transfer: buffer released twice")
	}
	p := b.pool
	b.data = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	size := classSize(b.class)
	p.used[b.lane] -= size
	p.idle += size
	p.classes[b.class].put(b.slot)
	p.serve()
	if p.trim == nil && !p.closed {
		p.lowIdle = p.idle
		p.trim = time.AfterFunc(idleAfter, p.trimIdle)
	}
}

// serve lends to those who wait, in their order, as far as there is memory.
func (p *pool) serve() {
	for l := range lanes {
		for len(p.queue[l]) > 0 && p.fits(l, p.queue[l][0].class) {
			w := p.queue[l][0]
			p.queue[l] = p.queue[l][1:]
			p.starved.Add(-1)
			w.ready <- p.lend(l, w.class, -1)
		}
	}
}

// trimIdle gives back what was idle all the time since it last ran.
func (p *pool) trimIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for c := classes - 1; c >= 0; c-- {
		for p.lowIdle > 0 && p.classes[c].chill() {
			p.lowIdle -= classSize(c)
			p.idle -= classSize(c)
		}
	}
	p.lowIdle = p.idle
	p.trim = nil
	if p.idle > 0 {
		p.trim = time.AfterFunc(idleAfter, p.trimIdle)
	}
}

// adjoining returns n bytes that begin at byte off of b and end in next, if the
// two lie side by side in memory.
func (b *buffer) adjoining(next *buffer, off, n int) ([]byte, bool) {
	if b.class != next.class || next.slot != b.slot+1 {
		return nil, false
	}
	return b.pool.classes[b.class].mem.run(b.slot, off, n)
}

// close frees the memory. Buffers that are still lent keep theirs.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	if p.trim != nil {
		p.trim.Stop()
	}
	if lent := p.used[reading] + p.used[writing]; lent > 0 {
		return fmt.Errorf("%d bytes of transfer buffers are still in use", lent)
	}
	var errs []error
	for _, s := range p.classes {
		if s != nil {
			errs = append(errs, s.mem.close())
		}
	}
	return errors.Join(errs...)
}
