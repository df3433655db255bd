package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// PruneOptions say what Prune does.
type PruneOptions struct {
	Policy     Policy
	Incomplete bool // also remove what interrupted runs left
	DryRun     bool
	TakeOver   bool // take the lock of a run that seems alive: its machine is known to be gone
}

// Pruned is what Prune decided and did.
type Pruned struct {
	Decisions  []Decision // about all existing snapshots, oldest first
	Incomplete []Info     // left by interrupted runs, to be removed if asked for
	Removals
}

// Prune deletes the snapshots that the policy does not keep. Without a policy it
// refuses, unless only incomplete ones are to go.
func (s *Store) Prune(ctx context.Context, o PruneOptions) (*Pruned, error) {
	if o.Policy.Empty() && !o.Incomplete {
		return nil, fmt.Errorf("%w: no policy says what to keep", ErrRefused)
	}
	if o.DryRun {
		list, err := s.List(ctx)
		if err != nil {
			return nil, err
		}
		pruned, ids := o.decide(list, s)
		planned, err := s.planRemovals(ctx, list, ids)
		if err != nil {
			return nil, err
		}
		pruned.Removals = *planned
		return pruned, nil
	}
	var pruned *Pruned
	err := s.lockedAs(ctx, "prune", o.TakeOver, func(ctx context.Context, l *lease) error {
		list, err := s.List(ctx)
		if err != nil {
			return err
		}
		var ids []ID
		pruned, ids = o.decide(list, s)
		if _, err := plannedRemovals(list, ids); err != nil {
			return err
		}
		if pruned.Removed, err = s.remove(ctx, l, list, ids); err != nil {
			return err
		}
		if err := s.abortNoted(ctx, s.source, s.cfg.SourceName); err != nil {
			return err
		}
		return s.tidyKept(ctx, l, pruned)
	})
	return pruned, err
}

// decide sorts the snapshots into those that stay and those that go.
func (o PruneOptions) decide(list []Info, s *Store) (*Pruned, []ID) {
	pruned := &Pruned{}
	var ids []ID
	if !o.Policy.Empty() {
		pruned.Decisions = o.apply(Existing(list), s)
	}
	for _, d := range pruned.Decisions {
		if !d.Keep() {
			ids = append(ids, d.ID)
		}
	}
	for _, info := range list {
		if info.State == Incomplete && !info.Running && s.Ours(info) {
			pruned.Incomplete = append(pruned.Incomplete, info)
			if o.Incomplete {
				ids = append(ids, info.ID)
			}
		}
	}
	return pruned, ids
}

// apply decides about the snapshots of this bucket. Those of others that are kept
// in the same place stay.
func (o PruneOptions) apply(existing []Info, s *Store) []Decision {
	ours := slices.DeleteFunc(slices.Clone(existing), func(i Info) bool { return !s.Ours(i) })
	decisions := o.Policy.Apply(ours, s.cfg.Now())
	for _, info := range existing {
		if !s.Ours(info) {
			decisions = append(decisions, Decision{info, []string{"of the bucket " + info.Source}})
		}
	}
	slices.SortStableFunc(decisions, func(a, b Decision) int { return cmp.Compare(a.ID, b.ID) })
	return decisions
}

// tidyKept removes what runs that ended right after their commit left.
func (s *Store) tidyKept(ctx context.Context, l *lease, pruned *Pruned) error {
	for _, d := range pruned.Decisions {
		if !d.Keep() || !s.Ours(d.Info) {
			continue
		}
		m, err := s.Load(ctx, d.ID)
		if err != nil {
			return err
		}
		if err := s.tidy(ctx, l, m); err != nil {
			return err
		}
		if err := s.control.removeAll(ctx, s.at.claim(d.ID)); err != nil {
			return err
		}
	}
	return nil
}
