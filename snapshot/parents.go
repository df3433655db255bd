package snapshot

import (
	"context"
	"fmt"
	"time"
)

// chooseParents finds what the snapshot links to, unless a full one is due. One
// that was interrupted goes on as it began, whatever is due by now.
func (c *creation) chooseParents(ctx context.Context) error {
	list, err := c.s.List(ctx)
	if err != nil {
		return err
	}
	existing := Existing(list)
	begun := c.started
	if !c.resumed {
		begun = c.s.cfg.Now()
		if c.full, err = c.fullDue(ctx, existing, begun); err != nil {
			return err
		}
	}
	if !c.full {
		c.parents, err = c.s.parents(ctx, c.o, existing, c.id, begun)
	}
	return err
}

// fullDue says whether the last full snapshot of the same keys is too old.
func (c *creation) fullDue(ctx context.Context, existing []Info, now time.Time) (bool, error) {
	if c.o.FullEvery == 0 {
		return false, nil
	}
	for _, info := range existing {
		if info.Mode != Full || now.Sub(info.Started).Abs() >= c.o.FullEvery {
			continue
		}
		m, err := c.s.Load(ctx, info.ID)
		if err != nil {
			return false, err
		}
		if c.o.isOf(m, c.s.cfg.SourceName) {
			return false, nil
		}
	}
	return true, nil
}

// parents finds what the snapshot id, begun at a time, may link to: the one named,
// or else the newest, and for a restore what the last one kept, so that one that
// was interrupted after it, and is repeated, need not copy the same again. They are
// older, also than a run that is finished late. A first incremental snapshot has
// none.
func (s *Store) parents(ctx context.Context, o CreateOptions, existing []Info, id ID, begun time.Time) (parents []*Manifest, err error) {
	var whole, safety []ID
	for _, info := range existing {
		switch {
		case info.ID >= id || !s.Ours(info):
		case info.Mode == Safety:
			safety = append(safety, info.ID)
		default:
			whole = append(whole, info.ID)
		}
	}
	var chosen []ID
	if o.Parent != "" {
		parent, err := s.Find(ctx, o.Parent)
		if o.Parent == "latest" || o.Parent == "yesterday" { // as of when it began
			parent, err = Resolve(o.Parent, whole, begun)
		}
		if err != nil {
			return nil, err
		}
		if parent >= id {
			return nil, fmt.Errorf("%w: %s, which was interrupted, can't link to the later %s; begin anew", ErrRefused, id, parent)
		}
		chosen = append(chosen, parent)
	} else if len(whole) > 0 {
		chosen = append(chosen, whole[len(whole)-1])
	}
	if o.narrow != nil && len(safety) > 0 {
		chosen = append(chosen, safety[len(safety)-1])
	}
	for _, parent := range chosen {
		m, err := s.Load(ctx, parent)
		if err != nil {
			return nil, err
		}
		parents = append(parents, m)
	}
	return parents, nil
}
