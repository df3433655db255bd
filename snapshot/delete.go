package snapshot

import (
	"context"
	"fmt"
	"slices"
)

// DeleteOptions say how far Delete may go.
type DeleteOptions struct {
	DryRun   bool // only tell what would be done
	TakeOver bool // take the lock of a run that seems alive: its machine is known to be gone
}

// Removal is what became of one snapshot that was to go, or, in a dry run, what
// would.
type Removal struct {
	ID      ID     `json:"id"`
	Objects int64  `json:"objects"` // its own, deleted with it
	Bytes   int64  `json:"bytes"`
	Foreign int64  `json:"foreign"`           // left, as others put or changed them after the snapshot
	Example string `json:"example,omitempty"` // the place of one of these
	Cost    *Cost  `json:"cost,omitempty"`    // in a dry run: of deleting it
}

// Removals is what Delete did, or, in a dry run, would do.
type Removals struct {
	Removed []Removal
	Rehome  Cost // in a dry run: of making others independent first
}

// Delete removes snapshots, after making those that link to them independent. It
// refuses the pinned, and all that are left. Existing and incomplete ones are
// the same to it, but a run that is alive is ErrLocked.
func (s *Store) Delete(ctx context.Context, ids []ID, o DeleteOptions) (*Removals, error) {
	if o.DryRun {
		list, err := s.List(ctx)
		if err != nil {
			return nil, err
		}
		return s.planRemovals(ctx, list, ids)
	}
	removals := &Removals{}
	err := s.lockedAs(ctx, "delete", o.TakeOver, func(ctx context.Context, l *lease) error {
		list, err := s.List(ctx)
		if err != nil {
			return err
		}
		if _, err := plannedRemovals(list, ids); err != nil {
			return err
		}
		removals.Removed, err = s.remove(ctx, l, list, ids)
		return err
	})
	return removals, err
}

// plannedRemovals checks that ids may go.
func plannedRemovals(list []Info, ids []ID) ([]Removal, error) {
	var removals []Removal
	complete, going := map[string]int{}, map[string]int{} // by the bucket that they are of
	for _, info := range list {
		if info.State == Damaged && len(ids) > 0 {
			return nil, fmt.Errorf("%w: the manifest of %s can't be read, and what it links to must not be removed; mend it, or remove that file, and it counts as interrupted", ErrDamaged, info.ID)
		}
		isGoing := slices.Contains(ids, info.ID)
		if info.State == Complete && info.Mode != Safety {
			complete[info.Source]++
			if isGoing {
				going[info.Source]++
			}
		}
		switch {
		case !isGoing:
			continue
		case info.Pinned:
			return nil, fmt.Errorf("%w: %s is pinned", ErrRefused, info.ID)
		case info.Running:
			return nil, fmt.Errorf("%w: %s", ErrLocked, info.Run)
		}
		removals = append(removals, Removal{ID: info.ID, Objects: info.Own, Bytes: info.OwnBytes})
	}
	if len(removals) < len(ids) {
		for _, id := range ids {
			if !slices.ContainsFunc(list, func(i Info) bool { return i.ID == id }) {
				return nil, fmt.Errorf("%w %s", ErrNoSnapshot, id)
			}
		}
	}
	for source, n := range going {
		if n == complete[source] {
			return nil, fmt.Errorf("%w: no complete snapshot would be left of %s", ErrRefused, source)
		}
	}
	return removals, nil
}

// sortOut says which snapshots go, newest first, and which existing ones stay,
// oldest first. Those that an earlier run left half deleted go, too.
func sortOut(list []Info, ids []ID) (doomed, survivors []ID) {
	for _, info := range list {
		switch {
		case info.State == Deleting || slices.Contains(ids, info.ID):
			doomed = append(doomed, info.ID)
		case info.State.exists():
			survivors = append(survivors, info.ID)
		}
	}
	slices.Reverse(doomed)
	return doomed, survivors
}

// locked runs work with the lock held and no other run alive.
func (s *Store) locked(ctx context.Context, what string, work func(context.Context, *lease) error) error {
	return s.lockedAs(ctx, what, false, work)
}

func (s *Store) lockedAs(ctx context.Context, what string, takeOver bool, work func(context.Context, *lease) error) error {
	l, _, err := s.acquire(ctx, s.at.lock(), s.newClaim(s.cfg.NewRun(), what), takeOver)
	if err != nil {
		return err
	}
	err = l.hold(ctx, func(ctx context.Context) error {
		if err := s.checkNobodyCreates(ctx, ""); err != nil {
			return err
		}
		return work(ctx, l)
	})
	if releaseErr := l.release(context.WithoutCancel(ctx)); releaseErr != nil {
		s.cfg.Log.Warn("lock left behind; it counts as dead in ten minutes", "err", releaseErr)
	}
	return err
}

// checkNobodyCreates returns ErrLocked while a snapshot is being made, but for one:
// it may be going to link to what we remove, or to copy what we make.
func (s *Store) checkNobodyCreates(ctx context.Context, but ID) error {
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, info := range list {
		if info.Running && info.ID != but {
			return fmt.Errorf("%w: %s", ErrLocked, info.Run)
		}
	}
	return nil
}

// remove deletes the given snapshots. Links always name an older one, so the
// newest goes first.
func (s *Store) remove(ctx context.Context, l *lease, list []Info, ids []ID) ([]Removal, error) {
	doomed, survivors := sortOut(list, ids)
	if err := s.rehome(ctx, l, setOf(doomed), survivors); err != nil {
		return nil, err
	}
	manifests := make([]*Manifest, len(doomed))
	etags := make([]string, len(doomed))
	var err error
	for i, id := range doomed {
		if manifests[i], etags[i], err = s.doom(ctx, l, id); err != nil {
			return nil, err
		}
	}
	var removals []Removal
	for i, m := range manifests {
		r, err := s.clear(ctx, l, m, etags[i])
		if err != nil {
			return removals, fmt.Errorf("deleting %s: %w", m.ID, err)
		}
		removals = append(removals, r)
	}
	return removals, nil
}

func setOf(ids []ID) map[ID]bool {
	set := map[ID]bool{}
	for _, id := range ids {
		set[id] = true
	}
	return set
}
