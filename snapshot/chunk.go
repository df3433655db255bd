package snapshot

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

const (
	chunksAtOnce = 4  // segments being copied; each has all its entries in memory
	copiesAtOnce = 64 // goroutines of one chunk; the gate decides how many of them work
	maxRounds    = 5  // in which a changed object is tried again
)

// chunk is a segment on its way: planned, being copied, and then written.
type chunk struct {
	*creation
	n   int // its number
	seg segment
}

// copyAll finishes the plans that an earlier run left, and lists and copies the
// spans that nobody has planned.
func (c *creation) copyAll(ctx context.Context, left []span, plans map[int]segment) error {
	chunks, ctx := errgroup.WithContext(ctx)
	chunks.SetLimit(chunksAtOnce)
	for n, plan := range plans {
		chunks.Go(func() error { return c.resumeChunk(ctx, n, plan) })
	}
	lister := c.lister()
	lister.emit = func(b batch) {
		chunks.Go(func() error { return c.newChunk(ctx, b) })
	}
	listErr := lister.run(ctx, left)
	c.progress.Done.Store(listErr == nil)
	if err := chunks.Wait(); err != nil {
		return err // of which listErr is but an echo
	}
	return listErr
}

// lister lists what is to be in the snapshot.
func (c *creation) lister() *lister {
	return &lister{
		bucket: c.s.source, prefix: c.o.From, size: c.s.cfg.SegmentEntries, workers: c.s.cfg.Listers,
		take: func(o s3.Object) bool { return !hasAnyPrefix(o.Key, c.own) && c.filter.Match(o.Key) },
	}
}

// newChunk plans a batch and copies it.
func (c *creation) newChunk(ctx context.Context, b batch) error {
	if c.o.narrow != nil {
		var err error
		if b.objects, err = c.o.narrow(ctx, b); err != nil {
			return err
		}
	}
	ch := c.chunkOf(b)
	if err := ch.link(ctx); err != nil {
		return err
	}
	todo := ch.ownEntries()
	if len(todo) > 0 {
		if err := ch.writePlan(ctx); err != nil {
			return err
		}
	}
	return ch.finish(ctx, todo)
}

// chunkOf makes a chunk of a batch, all of which is to be copied.
func (c *creation) chunkOf(b batch) *chunk {
	ch := &chunk{creation: c, n: c.nextNumber(), seg: segment{header: c.header(b.span)}}
	ch.seg.Entries = make([]Entry, len(b.objects))
	for i, o := range b.objects {
		ch.seg.Entries[i] = entryOf(o)
		c.progress.ListedBytes.Add(o.Size)
	}
	c.progress.Listed.Add(int64(len(b.objects)))
	return ch
}

func (c *creation) header(s span) header {
	return header{Run: c.run, After: anyKey(s.after), Thru: anyKey(s.through), Listed: c.s.cfg.Now().UTC()}
}

func (c *creation) nextNumber() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serial++
	return c.serial
}

// isDirItself says whether an object adopted is the marker that some tools make
// of the dated prefix itself: it has no key in the snapshot.
func isDirItself(o s3.Object) bool { return o.Key == "" }

func entryOf(o s3.Object) Entry {
	return Entry{
		Key: o.Key, Size: o.Size, ETag: o.ETag, StorageClass: o.StorageClass,
		Modified: o.LastModified.Truncate(time.Millisecond).UTC(),
	}
}

// link makes entries that a parent has just so into links to their owners.
func (ch *chunk) link(ctx context.Context) error {
	for _, parent := range ch.parents {
		old, err := ch.s.entriesIn(ctx, parent, ch.seg.span())
		if err != nil {
			return fmt.Errorf("comparing with %s: %w", parent.ID, err)
		}
		for i := range ch.seg.Entries {
			e := &ch.seg.Entries[i]
			for len(old) > 0 && old[0].Key < e.Key {
				old = old[1:]
			}
			if e.Owner == "" && len(old) > 0 && old[0].sameVersion(*e) {
				*e = old[0].linkedFrom(parent.ID)
				ch.progress.Linked.Add(1)
			}
		}
	}
	return nil
}

// linkedFrom is the entry for a snapshot that links what e, of snapshot id, has.
func (e Entry) linkedFrom(id ID) Entry {
	if e.Owner == "" {
		e.Owner = id
	}
	return e
}

// ownEntries returns the indexes of the entries that are to be copied.
func (ch *chunk) ownEntries() []int {
	var todo []int
	for i, e := range ch.seg.Entries {
		if e.Owner == "" {
			todo = append(todo, i)
		}
	}
	return todo
}

// finish copies the entries with the given indexes, again and again those that
// change meanwhile, and writes the segment.
func (ch *chunk) finish(ctx context.Context, todo []int) error {
	for round := 1; len(todo) > 0; round++ {
		changed, err := ch.copyEntries(ctx, todo)
		if err != nil || len(changed) == 0 {
			if err != nil {
				return err
			}
			break
		}
		if todo, err = ch.replan(ctx, changed, round == maxRounds); err != nil {
			return err
		}
	}
	if err := ch.dropSkipped(ctx); err != nil {
		return err
	}
	return ch.writeSegment(ctx)
}
