package snapshot

import (
	"context"
	"errors"
	"slices"

	"github.com/cgs3fs/cgs3fs/s3"
)

// planRemovals tells what Delete would do.
func (s *Store) planRemovals(ctx context.Context, list []Info, ids []ID) (*Removals, error) {
	removed, err := plannedRemovals(list, ids)
	if err != nil {
		return nil, err
	}
	for i := range removed {
		r := &removed[i]
		r.Cost = &Cost{Writes: 1}
		if slices.ContainsFunc(list, func(info Info) bool { return info.ID == r.ID && info.State == Incomplete }) {
			if err := s.countLeft(ctx, r); err != nil {
				return nil, err
			}
		}
		r.Cost.Deletes, r.Cost.Reads = pages(r.Objects), pages(r.Objects)+2
		r.Cost.total()
	}
	doomed, survivors := sortOut(list, ids)
	rehome, err := s.planRehome(ctx, setOf(doomed), survivors)
	return &Removals{Removed: removed, Rehome: rehome}, err
}

// countLeft counts the copies that an interrupted run left, which no manifest
// tells of. One that adopted made none.
func (s *Store) countLeft(ctx context.Context, r *Removal) error {
	var c claim
	if _, err := s.control.readJSON(ctx, s.at.claim(r.ID), &c); c.Adopt || err != nil && !errors.Is(err, s3.ErrNotFound) {
		return err
	}
	for o, err := range listing(ctx, s.dest, s.at.objects(r.ID), "") {
		if err != nil {
			return err
		}
		r.Objects++
		r.Bytes += o.Size
	}
	r.Cost.Lists = pages(r.Objects)
	return nil
}

// planRehome tells what it takes to make the survivors independent; see rehome.
func (s *Store) planRehome(ctx context.Context, going map[ID]bool, survivors []ID) (Cost, error) {
	var cost Cost
	var homes []*finder
	for _, id := range survivors {
		m, err := s.Load(ctx, id)
		if err != nil {
			return cost, err
		}
		for _, ref := range m.Segments {
			if !slices.ContainsFunc(ref.Owners, func(owner ID) bool { return going[owner] }) {
				continue
			}
			if err := s.planSegment(ctx, &cost, going, homes, id, ref); err != nil {
				return cost, err
			}
		}
		homes = append(homes, s.finder(m))
	}
	cost.total()
	return cost, nil
}

// planSegment counts what is to be brought into one segment: what no older
// survivor has. One that links it has it by then, or links to one that has.
func (s *Store) planSegment(ctx context.Context, cost *Cost, going map[ID]bool, homes []*finder, id ID, ref SegmentRef) error {
	seg, err := s.readSegment(ctx, id, ref)
	if err != nil {
		return err
	}
	cost.Reads++
	cost.Writes += 2 // plan and segment
	for _, e := range seg.Entries {
		if !going[e.Owner] {
			continue
		}
		_, found, err := findHome(ctx, homes, e, true)
		if err != nil {
			return err
		}
		if !found {
			cost.copy(e.Size, s.cfg)
			cost.Reads++ // to see whether it is there already
		}
	}
	return nil
}

// PlanMaterialize tells what Materialize would do.
func (s *Store) PlanMaterialize(ctx context.Context, id ID) (Cost, error) {
	var cost Cost
	m, err := s.Load(ctx, id)
	if err != nil {
		return cost, err
	}
	for _, ref := range m.Segments {
		if len(ref.Owners) == 0 {
			continue
		}
		// Without survivors before it, the snapshot gets every copy itself.
		if err := s.planSegment(ctx, &cost, setOf(ref.Owners), nil, id, ref); err != nil {
			return cost, err
		}
	}
	cost.total()
	return cost, nil
}

// PlanPin tells what Pin would do, and to what.
func (s *Store) PlanPin(ctx context.Context, id ID, pinned bool) (*Manifest, Cost, error) {
	m, err := s.Load(ctx, id)
	if err != nil {
		return nil, Cost{}, err
	}
	cost := Cost{Reads: 1}
	if m.Pinned != pinned {
		cost.Writes = 1
	}
	cost.total()
	return m, cost, nil
}
