package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
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
	now := c.s.cfg.Now().UTC()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.listed) {
		c.listed = now
	}
	return header{Run: c.run, After: anyKey(s.after), Thru: anyKey(s.through), Listed: now}
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

// link makes entries that the parent has just so into links to their owners.
func (ch *chunk) link(ctx context.Context) error {
	if ch.parent == nil {
		return nil
	}
	old, err := ch.s.entriesIn(ctx, ch.parent, ch.seg.span())
	if err != nil {
		return fmt.Errorf("comparing with %s: %w", ch.parent.ID, err)
	}
	for i := range ch.seg.Entries {
		e := &ch.seg.Entries[i]
		for len(old) > 0 && old[0].Key < e.Key {
			old = old[1:]
		}
		if len(old) > 0 && old[0].sameVersion(*e) {
			*e = old[0].linkedFrom(ch.parent.ID)
			ch.progress.Linked.Add(1)
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

// outcome is what became of one attempt to copy an entry.
type outcome int

const (
	isCopied outcome = iota
	isChanged
	isSkipped
)

// copyEntries copies entries and returns the indexes of those that changed.
func (ch *chunk) copyEntries(ctx context.Context, todo []int) (changed []int, err error) {
	outcomes := make([]outcome, len(todo))
	notes := make([]Note, len(todo))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	for i, at := range todo {
		group.Go(func() (err error) {
			outcomes[i], notes[i], err = ch.copyEntry(ctx, &ch.seg.Entries[at])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, at := range todo {
		switch outcomes[i] {
		case isChanged:
			changed = append(changed, at)
		case isSkipped:
			ch.skip(at, notes[i])
		}
	}
	return changed, nil
}

// skip takes an entry out of the segment, which dropSkipped does at the end.
func (ch *chunk) skip(at int, note Note) {
	ch.seg.Notes = append(ch.seg.Notes, note)
	ch.seg.Entries[at].Size = -1
	if note.Why.skipped() {
		ch.progress.Skipped.Add(1)
	}
}

// dropSkipped takes out what was skipped, and deletes what an earlier attempt may
// have put in its place.
func (ch *chunk) dropSkipped(ctx context.Context) error {
	kept := ch.seg.Entries[:0]
	var dropped []s3.Target
	for _, e := range ch.seg.Entries {
		if e.Size < 0 {
			place, _ := ch.s.at.object(ch.id, e.Key)
			dropped = append(dropped, s3.Target{Key: place})
			continue
		}
		e.Again = false
		kept = append(kept, e)
	}
	ch.seg.Entries = kept
	if len(dropped) == 0 {
		return nil
	}
	if err := ch.lease.check(); err != nil {
		return err
	}
	return ch.s.dest.Delete(ctx, dropped...)
}

// copyEntry makes one copy of the very version that the entry names.
func (ch *chunk) copyEntry(ctx context.Context, e *Entry) (outcome, Note, error) {
	if err := ch.lease.check(); err != nil {
		return 0, Note{}, err
	}
	var to place
	to.key, _ = ch.s.at.object(ch.id, e.Key)
	done, err := ch.copier.copy(ctx, version{e.Key, e.ETag, e.Size, e.StorageClass}, to)
	switch {
	case err == nil:
		if done.tagsLost {
			ch.tagsLost.Add(1)
		}
		ch.progress.Copied.Add(1)
		ch.progress.CopiedBytes.Add(e.Size)
		*e = e.resultOf(done.Info)
		return isCopied, Note{}, nil
	case errors.Is(err, s3.ErrChanged), errors.Is(err, s3.ErrNotFound):
		return ch.lostAnswer(ctx, e, to.key)
	case errors.Is(err, s3.ErrDenied):
		return isSkipped, Note{e.Key, Denied, err.Error()}, nil
	case errors.Is(err, s3.ErrArchived):
		return isSkipped, Note{e.Key, Archived, ""}, nil
	}
	return 0, Note{}, fmt.Errorf("copying %q: %w", e.Key, err)
}

// lostAnswer looks whether a copy that seems to have met a change was made
// before, by an attempt whose answer got lost: then a copy is in its place, and
// nothing but the planned version can be.
func (ch *chunk) lostAnswer(ctx context.Context, e *Entry, key string) (outcome, Note, error) {
	if e.Again {
		return isChanged, Note{}, nil
	}
	info, err := ch.s.dest.Head(ctx, key)
	switch {
	case errors.Is(err, s3.ErrNotFound):
		return isChanged, Note{}, nil
	case err != nil:
		return 0, Note{}, err
	case !ch.couldBe(e, info.Object):
		return isChanged, Note{}, nil
	}
	*e = e.resultOf(info)
	ch.progress.Kept.Add(1)
	return isCopied, Note{}, nil
}

// couldBe says whether what lies at an entry's place may be its copy. The plan
// rules out all else but objects of a stranger, who shows by the MD5 where ETags
// are such.
func (ch *chunk) couldBe(e *Entry, o s3.Object) bool {
	if o.Size != e.Size {
		return false
	}
	want, isMD5 := md5ETag(e.ETag)
	got, gotMD5 := md5ETag(o.ETag)
	return !ch.lease.md5ETags || !isMD5 || !gotMD5 || want == got
}

// replan looks at the source anew for entries that changed, and writes the plan
// with their new versions before these may be copied.
func (ch *chunk) replan(ctx context.Context, changed []int, last bool) (todo []int, err error) {
	for _, at := range changed {
		e := &ch.seg.Entries[at]
		info, err := ch.s.source.Head(ctx, e.Key)
		switch {
		case errors.Is(err, s3.ErrNotFound):
			ch.skip(at, Note{e.Key, Vanished, ""})
		case errors.Is(err, s3.ErrDenied):
			ch.skip(at, Note{e.Key, Denied, err.Error()})
		case err != nil:
			return nil, fmt.Errorf("looking again at %q: %w", e.Key, err)
		case last:
			ch.skip(at, Note{e.Key, Busy, ""})
		default:
			key := e.Key
			*e = entryOf(info.Object)
			e.Key, e.Again = key, true
			ch.seg.Notes = append(ch.seg.Notes, Note{key, Changed, ""})
			todo = append(todo, at)
		}
	}
	if len(todo) == 0 {
		return nil, nil
	}
	return todo, ch.writePlan(ctx)
}

// writePlan makes the plan durable. What was skipped is left out: a later run
// meets it as something that vanished.
func (ch *chunk) writePlan(ctx context.Context) error {
	if err := ch.lease.check(); err != nil {
		return err
	}
	plan := segment{header: ch.seg.header}
	for _, e := range ch.seg.Entries {
		if e.Size >= 0 {
			plan.Entries = append(plan.Entries, e)
		}
	}
	_, err := ch.write(ctx, ch.s.at.plans(ch.id)+numbered(ch.n), plan)
	return err
}

func (ch *chunk) write(ctx context.Context, key string, seg segment) (sum string, err error) {
	data, err := seg.encode(&ch.s.zips)
	if err != nil {
		return "", err
	}
	o := s3.PutOptions{Attributes: s3.Attributes{ContentType: gzipType}}
	_, err = ch.s.dest.Put(ctx, key, bytes.NewReader(data), o)
	return sum256(data), err
}

// writeSegment records that all of the chunk is done.
func (ch *chunk) writeSegment(ctx context.Context) error {
	if err := ch.lease.check(); err != nil {
		return err
	}
	// The run is in the name so that one that lost its claim without knowing
	// cannot write over its successor's file.
	name := "seg/" + strings.Replace(numbered(ch.n), ".", "-"+ch.run+".", 1)
	sum, err := ch.write(ctx, ch.s.at.dir(ch.id)+name, ch.seg)
	if err != nil {
		return err
	}
	ch.add(ch.n, ch.seg.ref(name, sum), ch.seg.header)
	return nil
}

func (c *creation) add(n int, ref SegmentRef, head header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refs[n], c.heads[n] = ref, head
}

// ref is how a manifest refers to the segment.
func (s *segment) ref(name, sum string) SegmentRef {
	r := SegmentRef{Name: name, SHA256: sum, After: string(s.After), Through: string(s.Thru), Owners: s.owners()}
	for _, e := range s.Entries {
		r.Objects++
		r.Bytes += e.Size
		if e.Owner == "" {
			r.Own++
			r.OwnBytes += e.Size
		}
	}
	return r
}
