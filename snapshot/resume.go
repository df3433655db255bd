package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// takeStock finds what an interrupted run left: segments, which are done; plans
// without, to be finished; and the spans that nobody has planned.
func (c *creation) takeStock(ctx context.Context) (left []span, plans map[int]segment, err error) {
	covered := c.ownSpans()
	if !c.resumed {
		return gaps(covered), nil, nil
	}
	if err := c.s.abortUploadsOf(ctx, c.id); err != nil {
		return nil, nil, err
	}
	done, err := c.readAll(ctx, c.s.at.segments(c.id), nil)
	if err != nil {
		return nil, nil, err
	}
	plans, err = c.readAll(ctx, c.s.at.plans(c.id), done)
	if err != nil {
		return nil, nil, err
	}
	for _, seg := range done {
		covered = append(covered, seg.span())
	}
	for _, plan := range plans {
		covered = append(covered, plan.span())
	}
	return gaps(covered), plans, nil
}

// readAll reads all plans or segments below prefix, but for plans that are done:
// all of them together are the whole snapshot. Of segments only what they cover
// is kept; the rest goes into their references.
func (c *creation) readAll(ctx context.Context, prefix string, done map[int]segment) (map[int]segment, error) {
	files, _, err := c.s.control.list(ctx, prefix, "")
	if err != nil {
		return nil, err
	}
	isPlan := prefix == c.s.at.plans(c.id)
	var mu sync.Mutex
	found := map[int]segment{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(chunksAtOnce)
	for _, file := range files {
		name, _, _ := strings.Cut(file.Key[len(prefix):], ".")
		number, _, _ := strings.Cut(name, "-")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("%w: %s is not of ours", ErrDamaged, file.Key)
		}
		c.mu.Lock()
		c.serial = max(c.serial, n)
		c.mu.Unlock()
		if _, ok := done[n]; ok {
			continue
		}
		group.Go(func() error {
			data, _, err := c.s.control.read(ctx, file.Key)
			if err != nil {
				return err
			}
			seg, err := decodeSegment(bytes.NewReader(data))
			if err != nil {
				return fmt.Errorf("reading %s: %w", file.Key, err)
			}
			if !isPlan {
				c.add(n, seg.ref(file.Key[len(c.s.at.dir(c.id)):], sum256(data)), seg.header)
				seg.Entries = nil
			}
			mu.Lock()
			defer mu.Unlock()
			found[n] = *seg
			return nil
		})
	}
	return found, group.Wait()
}

// resumeChunk finishes a plan: what lies at the planned places is done.
func (c *creation) resumeChunk(ctx context.Context, n int, plan segment) error {
	ch := &chunk{creation: c, n: n, seg: plan}
	for _, e := range plan.Entries {
		c.progress.Listed.Add(1)
		c.progress.ListedBytes.Add(e.Size)
	}
	done, err := ch.markDone(ctx)
	if err != nil {
		return err
	}
	var todo []int
	for _, at := range ch.ownEntries() {
		if !done[at] {
			todo = append(todo, at)
		}
	}
	return ch.finish(ctx, todo)
}

// markDone finds the entries whose copies are there, by one listing.
func (ch *chunk) markDone(ctx context.Context) (done map[int]bool, err error) {
	done = map[int]bool{}
	next, stop := iter.Pull2(ch.s.copiesIn(ctx, ch.id, ch.seg.span()))
	defer stop()
	there, err, more := next()
	for _, at := range ch.ownEntries() {
		e := &ch.seg.Entries[at]
		place, long := ch.s.at.object(ch.id, e.Key)
		if e.Again {
			continue
		}
		if long { // is not in the listing
			what, _, err := ch.lostAnswer(ctx, e, place)
			if err != nil {
				return nil, err
			}
			done[at] = what == isCopied
			continue
		}
		for ; more && err == nil && there.Key < place; there, err, more = next() {
		}
		if err != nil {
			return nil, err
		}
		if more && there.Key == place && ch.couldBe(e, there) {
			done[at] = true
			e.CopyETag = ""
			if there.ETag != e.ETag {
				e.CopyETag = there.ETag
			}
			ch.progress.Kept.Add(1)
		}
	}
	return done, nil
}
