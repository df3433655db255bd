package snapshot

import (
	"context"
	"slices"
)

// planRemovals tells what Delete would do.
func (s *Store) planRemovals(ctx context.Context, list []Info, ids []ID) (*Removals, error) {
	removed, err := plannedRemovals(list, ids)
	if err != nil {
		return nil, err
	}
	for i, r := range removed {
		removed[i].Cost = &Cost{Deletes: pages(r.Objects), Reads: pages(r.Objects) + 2, Writes: 1}
		removed[i].Cost.total()
	}
	doomed, survivors := sortOut(list, ids)
	rehome, err := s.planRehome(ctx, setOf(doomed), survivors)
	return &Removals{Removed: removed, Rehome: rehome}, err
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
