package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// settle compares all copies with the segments by one listing, and makes those
// anew that are not as recorded. What still differs after that is an error.
func (c *creation) settle(ctx context.Context) error {
	if err := c.checkTiles(); err != nil {
		return err
	}
	for round := 1; ; round++ {
		damaged, err := c.auditAll(ctx)
		if err != nil || len(damaged) == 0 {
			return err
		}
		if round == maxRounds {
			return fmt.Errorf("%w: copies change or vanish as soon as they are made; does somebody clean up below %s?", ErrDamaged, c.s.at.objects(c.id))
		}
		for n, keys := range damaged {
			if err := c.redo(ctx, n, keys); err != nil {
				return err
			}
		}
	}
}

// checkTiles proves that the segments and what is left out on purpose are the
// whole key space, each key once.
func (c *creation) checkTiles() error {
	refs := c.sorted()
	spans := make([]span, len(refs))
	for i, ref := range refs {
		spans[i] = ref.span()
	}
	if a, b, found := overlap(spans); found {
		return fmt.Errorf("%w: segments overlap at %q and %q", ErrDamaged, a.after, b.after)
	}
	if left := gaps(append(spans, c.ownSpans()...)); len(left) > 0 {
		return fmt.Errorf("%w: nothing covers the keys after %q", ErrDamaged, left[0].after)
	}
	return nil
}

// sorted returns the references in key order.
func (c *creation) sorted() []SegmentRef {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.refs), func(a, b SegmentRef) int { return strings.Compare(a.After, b.After) })
}

// auditAll returns the keys that are not as recorded, by number of the segment. An
// interrupted run may have linked to a snapshot that was removed since: its
// copies are missing then. If it is half removed, who finishes that makes us
// independent first.
func (c *creation) auditAll(ctx context.Context) (map[int]map[string]bool, error) {
	c.mu.Lock()
	refs := maps.Clone(c.refs)
	c.mu.Unlock()
	var mu sync.Mutex
	damaged := map[int]map[string]bool{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(chunksAtOnce)
	for n, ref := range refs {
		if ref.Objects == 0 {
			continue
		}
		group.Go(func() error {
			seg, err := c.s.readSegment(ctx, c.id, ref)
			if err != nil {
				return err
			}
			problems, err := c.s.auditListing(ctx, c.id, seg)
			if err != nil {
				return err
			}
			keys := map[string]bool{}
			for _, p := range problems {
				if p.Fault != Foreign {
					keys[p.Key] = true
				}
			}
			if len(keys) > 0 {
				mu.Lock()
				defer mu.Unlock()
				damaged[n] = keys
			}
			return nil
		})
	}
	return damaged, group.Wait()
}

// redo copies some entries of a written segment again: links that lost their
// copy, and copies that somebody touched.
func (c *creation) redo(ctx context.Context, n int, keys map[string]bool) error {
	if c.o.adopt != "" {
		return fmt.Errorf("%w: objects below %s change while they are indexed", ErrDiffers, c.s.at.objects(c.id))
	}
	c.mu.Lock()
	ref := c.refs[n]
	c.mu.Unlock()
	seg, err := c.s.readSegment(ctx, c.id, ref)
	if err != nil {
		return err
	}
	ch := &chunk{creation: c, n: n, seg: *seg}
	var todo []int
	for i := range ch.seg.Entries {
		e := &ch.seg.Entries[i]
		if keys[e.Key] {
			e.Owner, e.CopyETag, e.Checksum, e.Again = "", "", "", true
			todo = append(todo, i)
		}
	}
	if err := ch.writePlan(ctx); err != nil {
		return err
	}
	return ch.finish(ctx, todo)
}

// commit writes the manifest: from then on the snapshot exists.
func (c *creation) commit(ctx context.Context) (*Manifest, error) {
	if err := c.lease.check(); err != nil {
		return nil, err
	}
	m := c.manifest(ctx)
	switch {
	case m.Skipped > 0 && c.o.Strict:
		return nil, fmt.Errorf("%w: %d objects could not be read, the first is %q", ErrRefused, m.Skipped, firstSkipped(m.Notes))
	case m.Skipped > 0 && m.Objects == 0:
		return nil, fmt.Errorf("%w: not one of %d objects could be copied: %s", ErrRefused, m.Skipped, m.Notes[0].Err)
	}
	if err := c.lease.beat(ctx); err != nil {
		return nil, err
	}
	data, err := encodeJSON(m)
	if err != nil {
		return nil, err
	}
	_, err = c.s.control.create(ctx, c.s.at.manifest(c.id), data, jsonType)
	if errors.Is(err, s3.ErrExists) {
		return nil, fmt.Errorf("%w: %s was given up or committed by somebody else", ErrLost, c.id)
	}
	return m, err
}

func firstSkipped(notes []Note) string {
	for _, n := range notes {
		if n.Why.skipped() {
			return n.Key
		}
	}
	return ""
}

// manifest puts together all that is known.
func (c *creation) manifest(ctx context.Context) *Manifest {
	cfg := c.s.cfg
	m := &Manifest{
		Format: Format, ID: c.id, State: Complete, Run: c.run, Tool: cfg.Tool,
		Source: Location{Bucket: cfg.SourceName}, Dest: Location{cfg.DestName, c.s.at.prefix},
		From: c.o.From, Filter: c.o.Filter, LeftOut: c.own, Started: c.started, Mode: Full, Copy: c.copier.chosen(),
		Comment: c.o.Comment, Tags: c.o.Tags,
	}
	switch {
	case c.o.adopt != "":
		m.Mode = Adopted
		m.Started = c.id.time() // not today: policies and --max-age go by it
	case c.o.narrow != nil:
		m.Mode = Safety
	case c.o.Incremental && !c.full:
		m.Mode = Incremental
		if len(c.parents) > 0 {
			m.Parent = c.parents[0].ID
		}
	}
	m.setSegments(c.sorted())
	c.mu.Lock()
	heads := maps.Clone(c.heads)
	c.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(heads)) {
		head := heads[n]
		m.addNotes(head.Notes)
		if head.Listed.After(m.Listed) {
			m.Listed = head.Listed
		}
	}
	if m.Skipped > 0 {
		m.State = Partial
	}
	c.s.recordBucket(ctx, m)
	m.Finished = cfg.Now().UTC()
	return m
}

// recordBucket notes how the source bucket was set up, as far as we may know.
func (s *Store) recordBucket(ctx context.Context, m *Manifest) {
	if cors, ok := s3.As[s3.CORS](s.source); ok {
		rules, err := cors.GetCORS(ctx)
		m.CORS, m.UnreadCORS = rules, err != nil
		s.cfg.Log.Debug("recorded CORS rules", "rules", len(rules), "err", err)
	}
	if versions, ok := s3.As[s3.Versions](s.source); ok {
		state, err := versions.Versioning(ctx)
		m.Versioning = state
		s.cfg.Log.Debug("recorded versioning", "state", state, "err", err)
	}
}
