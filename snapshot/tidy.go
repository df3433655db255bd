package snapshot

import (
	"context"
	"errors"

	"github.com/cgs3fs/cgs3fs/s3"
)

// tidy removes what an existing snapshot does not need: the plans of its making,
// segments that its manifest does not refer to, and copies, whole or in parts,
// that were brought into it by a run that ended before the manifest spoke of
// them. m must be what the manifest says while l is held.
func (s *Store) tidy(ctx context.Context, l *lease, m *Manifest) error {
	return errors.Join(s.tidyFiles(ctx, l, m.ID, m.Segments), s.tidyBrings(ctx, l, m))
}

// tidyFiles removes a snapshot's plans, and its segments but for those referred
// to.
func (s *Store) tidyFiles(ctx context.Context, l *lease, id ID, refs []SegmentRef) error {
	used := map[string]bool{}
	for _, ref := range refs {
		used[s.at.dir(id)+ref.Name] = true
	}
	for _, prefix := range []string{s.at.segments(id), s.at.plans(id)} {
		files, _, err := s.control.list(ctx, prefix, "")
		if err != nil {
			return err
		}
		var unused []s3.Target
		for _, file := range files {
			if !used[file.Key] {
				unused = append(unused, s3.Target{Key: file.Key})
			}
		}
		if err := s.tidyAway(ctx, l, unused); err != nil {
			return err
		}
	}
	return nil
}

// tidyAway deletes what was found unused, if nobody can have come to use it.
func (s *Store) tidyAway(ctx context.Context, l *lease, unused []s3.Target) error {
	if err := l.check(); err != nil || len(unused) == 0 {
		return err
	}
	return s.dest.Delete(ctx, unused...)
}

func (s *Store) tidyBrings(ctx context.Context, l *lease, m *Manifest) error {
	files, _, err := s.control.list(ctx, s.at.brings(m.ID), "")
	if err != nil || len(files) == 0 {
		return err
	}
	if err := s.abortUploadsOf(ctx, m.ID); err != nil {
		return err
	}
	for _, file := range files {
		plan, err := s.readPlan(ctx, file.Key)
		if errors.Is(err, ErrDamaged) {
			s.cfg.Log.Warn("copies that it speaks of may remain", "snapshot", m.ID, "err", err)
			continue
		}
		if err != nil {
			return err
		}
		owned := s.finder(m)
		var strays []s3.Target
		for _, e := range plan.Entries {
			now, found, err := owned.find(ctx, e.Key)
			if err != nil {
				return err
			}
			if !found || now.Owner != "" {
				strays = append(strays, s3.Target{Key: s.at.place(m.ID, e)})
			}
		}
		if err := s.tidyAway(ctx, l, strays); err != nil {
			return err
		}
		if err := s.tidyAway(ctx, l, []s3.Target{{Key: file.Key}}); err != nil {
			return err
		}
	}
	return nil
}
