package snapshot

import (
	"context"
	"errors"

	"github.com/cgs3fs/cgs3fs/s3"
)

// tidy removes what an existing snapshot does not need: the plans of its making,
// segments that its manifest does not refer to, and copies, whole or in parts,
// that were brought into it by a run that ended before the manifest spoke of
// them.
func (s *Store) tidy(ctx context.Context, m *Manifest) error {
	return errors.Join(
		s.tidySegments(ctx, m),
		s.tidyBrings(ctx, m),
		s.control.removeAll(ctx, s.at.plans(m.ID)),
	)
}

func (s *Store) tidySegments(ctx context.Context, m *Manifest) error {
	used := map[string]bool{}
	for _, ref := range m.Segments {
		used[s.at.dir(m.ID)+ref.Name] = true
	}
	files, _, err := s.control.list(ctx, s.at.segments(m.ID), "")
	if err != nil {
		return err
	}
	var unused []s3.Target
	for _, file := range files {
		if !used[file.Key] {
			unused = append(unused, s3.Target{Key: file.Key})
		}
	}
	if len(unused) == 0 {
		return nil
	}
	return s.dest.Delete(ctx, unused...)
}

func (s *Store) tidyBrings(ctx context.Context, m *Manifest) error {
	files, _, err := s.control.list(ctx, s.at.brings(m.ID), "")
	if err != nil || len(files) == 0 {
		return err
	}
	for _, prefix := range []string{s.at.objects(m.ID), s.at.dir(m.ID)} {
		if err := s.abortUploads(ctx, prefix); err != nil { // of part copies that did not end
			return err
		}
	}
	for _, file := range files {
		plan, err := s.readPlan(ctx, file.Key)
		if err != nil {
			return err
		}
		owned := s.finder(m)
		strays := []s3.Target{{Key: file.Key}}
		for _, e := range plan.Entries {
			now, found, err := owned.find(ctx, e.Key)
			if err != nil {
				return err
			}
			if !found || now.Owner != "" {
				strays = append(strays, s3.Target{Key: s.at.place(m.ID, e)})
			}
		}
		if err := s.dest.Delete(ctx, strays[1:]...); err != nil {
			return err
		}
		if err := s.dest.Delete(ctx, strays[0]); err != nil {
			return err
		}
	}
	return nil
}
