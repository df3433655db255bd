package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cgs3fs/cgs3fs/s3"
)

// DraftOptions say how a draft will be written.
type DraftOptions struct {
	// Sequential tells that the program will most likely write from start to
	// end once, so that parts may leave for S3 while it writes. Otherwise
	// everything stays here until Commit.
	Sequential bool
}

// Draft is unsaved content of one object: the content of a base version, or
// nothing, with edits over it. Safe for concurrent use. It must be ended with
// Discard or Save.
//
// A sequential draft without a base sends full parts while the program writes
// on. The first part stays here until Commit, for programs that complete a
// header at the end. When bytes that have left are accessed after all, what is
// there is published first, as Commit would, as if the program had called
// fsync; see SetPublish.
type Draft struct {
	e      *Engine
	o      DraftOptions
	ctx    context.Context // of its goroutines
	cancel context.CancelFunc
	wg     sync.WaitGroup
	grid   grid          // of the parts that leave while it is written
	turn   chan struct{} // holds one while somebody changes or sends the content
	used   atomic.Int64  // Engine.clock at the last use

	restored bool    // its upload is named by a sidecar, and not to be aborted
	landing  *Landed // what that upload had become; nil if it had not, or is not known to

	mu      sync.Mutex
	ended   bool                           // guarded by mu
	key     string                         // guarded by mu
	publish func() (string, s3.PutOptions) // guarded by mu
	base    *s3.Object                     // guarded by mu; nil is nothing
	baseEnd int64                          // guarded by mu; how much of base is not cut off
	reader  *Reader                        // guarded by mu; of base, nil until needed
	size    int64                          // guarded by mu
	dirty   bool                           // guarded by mu
	local   local                          // guarded by mu
	stream  *outflow                       // guarded by mu; nil while nothing has left
	failed  error                          // guarded by mu; of sending on the way, until it is reported
	doubts  []doubt                        // guarded by mu; what unanswered requests may have made
	mine    *s3.Object                     // guarded by mu; what the draft itself published since the last Commit
}

// NewDraft returns a draft over base, or over nothing if base is nil; then it is
// dirty from the start, because the object is yet to be made. key is where it
// is published if that becomes necessary.
func (e *Engine) NewDraft(key string, base *s3.Object, o DraftOptions) *Draft {
	d := &Draft{e: e, o: o, key: key, turn: make(chan struct{}, 1)}
	d.grid = grid{first: e.cfg.PartSize, limits: e.cfg.Limits}
	d.ctx, d.cancel = context.WithCancel(e.ctx)
	d.local = local{e: e, bufs: map[int64]*buffer{}}
	if base != nil {
		b := *base
		d.base, d.size, d.baseEnd = &b, b.Size, b.Size
	}
	d.dirty = base == nil
	e.drafts.Add(1)
	return d
}

// SetPublish sets what is asked for key and options when an upload begins or
// the content has to be published before Commit. f must not call the Draft.
func (d *Draft) SetPublish(f func() (key string, o s3.PutOptions)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.publish = f
}

// Size returns the size of the content.
func (d *Draft) Size() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.size
}

// Dirty tells whether something is not in the bucket.
func (d *Draft) Dirty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dirty
}

// Base returns the version that the draft is an edit of; nil if there is none.
func (d *Draft) Base() *s3.Object {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.base == nil {
		return nil
	}
	b := *d.base
	return &b
}

// Rebase tells that the base's content is found under another key or version
// now, as after a rename.
func (d *Draft) Rebase(ctx context.Context, base s3.Object) error {
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	d.mu.Lock()
	if d.base != nil {
		d.base = &base
	}
	if d.mine != nil {
		d.mine = &base
	}
	d.key = base.Key
	old := d.takeReader()
	d.mu.Unlock()
	closeReader(old)
	return nil
}

// lock takes the draft's turn.
func (d *Draft) lock(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for another operation on %s: %w: %w", d.name(), s3.ErrCanceled, ctx.Err())
	}
	d.used.Store(d.e.clock.Add(1))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		<-d.turn
		return fmt.Errorf("draft of %s: %w", d.key, os.ErrClosed)
	}
	return nil
}

func (d *Draft) unlock() { <-d.turn }

func (d *Draft) name() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.key
}

// WriteAt takes all of p as the content from off on. It returns ErrFull when
// the staging disk has no room, s3.ErrTooLarge beyond the largest object, and
// otherwise what went wrong with parts that were on their way; the content is
// unchanged then.
func (d *Draft) WriteAt(ctx context.Context, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	end := off + int64(len(p))
	if err := d.check(off, end); err != nil {
		return err
	}
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	if err := d.makeWay(ctx, off, end); err != nil {
		return err
	}
	if err := d.store(ctx, p, off); err != nil {
		return err
	}
	d.mu.Lock()
	d.size = max(d.size, end)
	d.dirty = true
	d.mu.Unlock()
	if err := d.sendFull(ctx, span{}); err != nil {
		d.mu.Lock()
		d.failed = err // p was taken: the next write, or Commit, has to tell
		d.mu.Unlock()
	}
	return nil
}

// check refuses offsets that no object has.
func (d *Draft) check(off, end int64) error {
	if off < 0 || end < off {
		return fmt.Errorf("offset %d of %s: %w", off, d.name(), s3.ErrInvalid)
	}
	if end > d.limit() {
		return fmt.Errorf("%s of %d bytes: %w", d.name(), end, s3.ErrTooLarge)
	}
	return nil
}

// limit returns the size of the largest object that the draft can become.
func (d *Draft) limit() int64 {
	l := d.e.cfg.Limits
	if d.o.Sequential {
		return min(l.MaxObject, d.grid.reach())
	}
	if l.MaxPartSize > l.MaxObject/int64(l.MaxParts) {
		return l.MaxObject
	}
	return l.MaxPartSize * int64(l.MaxParts)
}

// store puts p in memory or, if there is none, in the staging file.
func (d *Draft) store(ctx context.Context, p []byte, off int64) error {
	for shed := false; ; {
		d.mu.Lock()
		mayHold := d.mayHold(off, off+int64(len(p)))
		if mayHold && d.local.room(off, off+int64(len(p))) {
			d.local.put(p, off)
			d.mu.Unlock()
			return nil
		}
		if mayHold && !shed {
			d.mu.Unlock()
			d.e.shed(int64(len(p))) // what readers only expect to be useful
			shed = true
			continue
		}
		s := d.stream
		if s == nil || s.flying == 0 {
			defer d.mu.Unlock()
			return d.intoFile(p, off)
		}
		// Parts of this draft will free memory when they have arrived.
		landed := s.landed
		d.mu.Unlock()
		if err := d.await(ctx, landed); err != nil {
			return err
		}
	}
}

// mayHold tells whether the bytes from off to end may be in memory: edits
// scattered over a large object belong on disk. d.mu must be held.
func (d *Draft) mayHold(off, end int64) bool {
	return d.streaming() || d.local.memory() < d.e.cfg.PartSize || d.local.mem.covers(off, end)
}

// intoFile frees the draft's memory and puts p in the staging file. d.mu must be
// held.
func (d *Draft) intoFile(p []byte, off int64) error {
	if err := d.local.spill(d.flying()); err != nil {
		return err
	}
	return d.local.putDisk(p, off)
}

// Truncate makes the content size bytes long; what is added is zeros.
func (d *Draft) Truncate(ctx context.Context, size int64) error {
	if err := d.check(0, size); err != nil {
		return err
	}
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	if size == 0 {
		return d.empty(ctx)
	}
	if err := d.makeWayToCut(ctx, size); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if size == d.size {
		return nil
	}
	if size < d.size {
		d.local.remove(size, d.size)
		d.baseEnd = min(d.baseEnd, size)
	}
	d.size = size
	d.dirty = true
	return nil
}

// empty drops all content.
func (d *Draft) empty(ctx context.Context) error {
	d.mu.Lock()
	same := d.size == 0 && d.base != nil && !d.dirty
	d.mu.Unlock()
	if same {
		return nil
	}
	if err := d.abandonStream(ctx); errors.Is(err, s3.ErrCanceled) {
		return err
	}
	d.mu.Lock()
	d.local.clear()
	d.dirty, d.size, d.base, d.baseEnd = true, 0, nil, 0
	old := d.takeReader()
	d.mu.Unlock()
	closeReader(old)
	return nil
}
