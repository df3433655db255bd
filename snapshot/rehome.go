package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cgs3fs/cgs3fs/s3"
)

// rehome makes the survivors independent of the snapshots that are to go: an
// object that is still linked is copied into the oldest survivor that links it,
// and the others link to that. survivors are the IDs of all other existing
// snapshots, oldest first.
func (s *Store) rehome(ctx context.Context, l *lease, going map[ID]bool, survivors []ID) error {
	var homes []*finder // of the survivors done so far, oldest first
	for _, id := range survivors {
		r := &rewriter{
			s: s, lease: l,
			concern: func(ref SegmentRef) bool {
				return slices.ContainsFunc(ref.Owners, func(owner ID) bool { return going[owner] })
			},
			change: func(ctx context.Context, id ID, seg *segment) (bool, error) {
				return true, s.rehomeSegment(ctx, l, going, homes, id, seg)
			},
		}
		if err := r.run(ctx, id); err != nil {
			return fmt.Errorf("making %s independent: %w", id, err)
		}
		m, err := s.Load(ctx, id)
		if err != nil {
			return err
		}
		homes = append(homes, s.finder(m))
	}
	return nil
}

// rehomeSegment finds a new owner for every link of a segment to what is going:
// an older survivor that has a copy of its own, or else the snapshot itself.
func (s *Store) rehomeSegment(ctx context.Context, l *lease, going map[ID]bool, homes []*finder, id ID, seg *segment) error {
	var bring []int
	for i := range seg.Entries {
		e := &seg.Entries[i]
		if !going[e.Owner] {
			continue
		}
		home, found, err := findHome(ctx, homes, *e, false)
		if err != nil {
			return err
		}
		if found {
			*e = home
		} else {
			bring = append(bring, i)
		}
	}
	err := s.bring(ctx, l, id, seg, bring)
	if errors.Is(err, s3.ErrChanged) || errors.Is(err, s3.ErrNotFound) {
		return fmt.Errorf("%w: %w; verify %s with repair, then delete again", ErrDamaged, err, id)
	}
	return err
}

// findHome looks for the entry's version among those of older survivors: the
// copies that they own, or, with links, also what they only link.
func findHome(ctx context.Context, homes []*finder, e Entry, links bool) (Entry, bool, error) {
	for _, f := range homes {
		h, found, err := f.find(ctx, e.Key)
		if err != nil {
			return Entry{}, false, err
		}
		if found && (links || h.Owner == "") && h.sameVersion(e) {
			return h.linkedFrom(f.m.ID), true, nil
		}
	}
	return Entry{}, false, nil
}

// Materialize turns a snapshot with links into a plain one, which any S3 tool
// reads whole. The links are m.Objects-m.Own of its manifest.
func (s *Store) Materialize(ctx context.Context, id ID) error {
	return s.locked(ctx, "materialize "+string(id), func(ctx context.Context, l *lease) error {
		r := &rewriter{
			s: s, lease: l, always: true,
			concern: func(ref SegmentRef) bool { return len(ref.Owners) > 0 },
			change: func(ctx context.Context, id ID, seg *segment) (bool, error) {
				var bring []int
				for i, e := range seg.Entries {
					if e.Owner != "" {
						bring = append(bring, i)
					}
				}
				return true, s.bring(ctx, l, id, seg, bring)
			},
		}
		return r.run(ctx, id)
	})
}
