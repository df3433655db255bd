package snapshot

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// batch is what a bucket holds in one span.
type batch struct {
	span
	objects []s3.Object
}

// lister lists spans of a bucket in parallel, cutting what is left in two
// whenever a worker has nothing to do. It hands out batches, each the whole of
// its span; together they tile the spans.
type lister struct {
	bucket  s3.Bucket
	prefix  string // only objects below it
	size    int    // objects in a batch at most
	workers int
	take    func(s3.Object) bool // whether the object belongs in the batch
	emit    func(batch)          // may block; must not fail

	mu     sync.Mutex
	todo   []span        // guarded by mu; nobody works on these yet
	active []*cursor     // guarded by mu
	change chan struct{} // guarded by mu; closed when todo or active changed
}

// cursor is a span that a worker lists.
type cursor struct {
	span           // through is guarded by lister.mu: it moves down when the span is split
	pos     string // guarded by lister.mu; the last key listed
	pages   int    // guarded by lister.mu; listed since the last attempt to split
	minimum int    // guarded by lister.mu; pages that are worth the next attempt
}

// run lists the spans, which must not overlap.
func (l *lister) run(ctx context.Context, spans []span) error {
	l.todo = append([]span(nil), spans...)
	l.change = make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	for range l.workers {
		group.Go(func() error { return l.work(ctx) })
	}
	return group.Wait()
}

func (l *lister) work(ctx context.Context) error {
	for {
		c, victim, change := l.next()
		var err error
		switch {
		case c != nil:
			err = l.list(ctx, c)
		case victim != nil:
			err = l.split(ctx, victim)
		case change == nil:
			return nil
		default:
			select {
			case <-change:
			case <-ctx.Done():
				return canceled(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
}

// next decides what a free worker does: list a span, split one, wait for a
// change, or, when all three are nil, end.
func (l *lister) next() (c, victim *cursor, change chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.todo); n > 0 {
		c = &cursor{span: l.todo[n-1], minimum: splitPages}
		c.pos = c.after
		l.todo = l.todo[:n-1]
		l.active = append(l.active, c)
		return c, nil, nil
	}
	if len(l.active) == 0 {
		return nil, nil, nil
	}
	for _, a := range l.active {
		if a.pages >= a.minimum && (victim == nil || a.pages > victim.pages) {
			victim = a
		}
	}
	if victim != nil {
		victim.pages = 0
		return nil, victim, nil
	}
	return nil, nil, l.change
}

// changed wakes who waits. Call it with mu held.
func (l *lister) changed() {
	close(l.change)
	l.change = make(chan struct{})
}

// list lists a cursor's span to its end.
func (l *lister) list(ctx context.Context, c *cursor) error {
	in := s3.ListInput{Prefix: l.prefix, StartAfter: startAfter(c.after)}
	b := batch{span: span{after: c.after}}
	for last := ""; ; {
		page, err := l.bucket.ListPage(ctx, in)
		if err != nil {
			return err
		}
		for _, o := range page.Objects {
			if o.Key <= last {
				return outOfOrder(o.Key, last)
			}
			last = o.Key
		}
		objects, through, end := l.advance(c, page)
		for _, o := range objects {
			if o.Key <= c.after || !l.take(o) {
				continue
			}
			b.objects = append(b.objects, o)
			if len(b.objects) == l.size {
				b.through = o.Key
				l.emit(b)
				b = batch{span: span{after: o.Key}}
			}
		}
		if end {
			l.finish(b, through)
			return nil
		}
		in.Token = page.Next
	}
}

// finish hands out the rest of a span. A batch may have ended on its very end.
func (l *lister) finish(b batch, through string) {
	if b.after == through && through != "" {
		return
	}
	b.through = through
	l.emit(b)
}

// advance moves a cursor over a page and returns the objects of it that are
// within the span. At the end of the span the cursor is no more.
func (l *lister) advance(c *cursor, page s3.Page) (objects []s3.Object, through string, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	objects = page.Objects
	for n := len(objects); n > 0 && c.through != "" && objects[n-1].Key > c.through; n-- {
		objects = objects[:n-1]
		end = true
	}
	if n := len(objects); n > 0 {
		c.pos = max(c.pos, objects[n-1].Key)
	}
	end = end || page.Next == "" || c.pos == c.through && c.through != ""
	c.pages++
	if end {
		for i, a := range l.active {
			if a == c {
				l.active = append(l.active[:i], l.active[i+1:]...)
				break
			}
		}
	}
	l.changed()
	return objects, c.through, end
}

// split cuts what is left of a cursor's span in two if it can find a place that
// has objects after it.
func (l *lister) split(ctx context.Context, c *cursor) error {
	l.mu.Lock()
	pos, through := c.pos, c.through
	l.mu.Unlock()
	cut, found, err := l.findCut(ctx, pos, through)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !found {
		c.minimum *= 2 // ask less and less often
		l.changed()
		return nil
	}
	for _, a := range l.active {
		if a == c && c.through == through && c.pos < cut {
			l.todo = append(l.todo, span{cut, through})
			c.through = cut
			c.minimum = splitPages
		}
	}
	l.changed()
	return nil
}

// splitPages of a span must have been listed before it is worth the requests, a
// dozen, that cutting it in two takes.
const splitPages = 4

// probes is how many requests an attempt to halve a span may take once it is
// known where its keys begin to differ: enough to find any ASCII character.
const probes = 7

// findCut looks for a key about halfway between pos, which exists, and through,
// after which there are objects.
func (l *lister) findCut(ctx context.Context, pos, through string) (cut string, found bool, err error) {
	lo, hi, ok, err := l.divergence(ctx, pos, through)
	if err != nil || !ok {
		return "", false, err
	}
	for range probes {
		mid, ok := midpoint(lo, hi)
		if !ok || mid <= pos || through != "" && mid >= through {
			break
		}
		exists, err := l.anyAfter(ctx, mid, through)
		if err != nil || exists {
			return mid, exists, err
		}
		hi = mid
	}
	return lo, lo > pos, nil
}

// divergence finds the first character at which any key left in (pos, through]
// differs from pos: keys often share long beginnings, in which halving would be
// lost. All keys left but those that agree with pos there are in (lo, hi).
func (l *lister) divergence(ctx context.Context, pos, through string) (lo, hi string, ok bool, err error) {
	starts := runeStarts(pos)
	low, high := 0, len(starts)
	for low < high { // the first at which there is something beyond
		i := (low + high) / 2
		beyondIt, ok := beyond(pos, starts[i])
		exists := false
		if ok {
			if exists, err = l.anyAfter(ctx, beyondIt, through); err != nil {
				return "", "", false, err
			}
		}
		if exists {
			high = i
		} else {
			low = i + 1
		}
	}
	if low == len(starts) {
		return "", "", false, nil // nothing beyond, or only keys that continue pos
	}
	lo, _ = beyond(pos, starts[low])
	hi = through
	if low > 0 {
		if upper, ok := beyond(pos, starts[low-1]); ok && (hi == "" || upper < hi) {
			hi = upper
		}
	}
	return lo, hi, true, nil
}

// anyAfter says whether there is an object in (after, through].
func (l *lister) anyAfter(ctx context.Context, after, through string) (bool, error) {
	page, err := l.bucket.ListPage(ctx, s3.ListInput{Prefix: l.prefix, StartAfter: startAfter(after), Max: 1})
	if err != nil || len(page.Objects) == 0 {
		return false, err
	}
	return through == "" || page.Objects[0].Key <= through, nil
}
