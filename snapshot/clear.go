package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cgs3fs/cgs3fs/s3"
)

// doom turns the register of a snapshot to Deleting. From then on it does not
// exist, and a run that was making it cannot commit.
func (s *Store) doom(ctx context.Context, l *lease, id ID) (*Manifest, string, error) {
	if err := l.check(); err != nil {
		return nil, "", err
	}
	m, etag, err := s.loadAny(ctx, id)
	switch {
	case errors.Is(err, ErrNoSnapshot):
		return s.doomIncomplete(ctx, id)
	case err != nil || m.State == Deleting:
		return m, etag, err
	case m.Pinned:
		return nil, "", fmt.Errorf("%w: %s is pinned", ErrRefused, id)
	}
	m.State = Deleting
	etag, err = s.save(ctx, m, etag)
	return m, etag, err
}

// doomIncomplete puts "deleting" where the commit would have gone.
func (s *Store) doomIncomplete(ctx context.Context, id ID) (*Manifest, string, error) {
	m := &Manifest{Format: Format, ID: id, State: Deleting, Run: s.cfg.NewRun(), Mode: Full, Started: s.cfg.Now().UTC()}
	var c claim
	_, err := s.control.readJSON(ctx, s.at.claim(id), &c)
	if err != nil && !errors.Is(err, s3.ErrNotFound) {
		return nil, "", err
	}
	if c.Adopt {
		m.Mode = Adopted
	}
	data, err := encodeJSON(m)
	if err != nil {
		return nil, "", err
	}
	etag, err := s.control.create(ctx, s.at.manifest(id), data, jsonType)
	if errors.Is(err, s3.ErrExists) {
		err = fmt.Errorf("%w: %s was committed a moment ago", ErrDiffers, id)
	}
	return m, etag, err
}

// clear deletes everything of a snapshot whose register says Deleting, the
// register last.
func (s *Store) clear(ctx context.Context, l *lease, m *Manifest, etag string) (Removal, error) {
	r := Removal{ID: m.ID}
	if m.Segments != nil {
		for _, ref := range m.Segments {
			seg, err := s.readSegment(ctx, m.ID, ref)
			if errors.Is(err, ErrDamaged) { // usual if an earlier attempt got as far as the segments
				s.cfg.Log.Info("segment is gone or damaged; objects of it may remain", "snapshot", m.ID, "segment", ref.Name, "err", err)
				continue
			}
			if err != nil {
				return r, err
			}
			if err := s.clearEntries(ctx, l, m.ID, seg, &r); err != nil {
				return r, err
			}
		}
	} else if m.Mode != Adopted { // an adoption that was given up has no objects of its own
		if err := s.clearPlanned(ctx, l, m.ID, &r, s.at.plans(m.ID), s.at.segments(m.ID)); err != nil {
			return r, err
		}
	}
	if err := s.clearPlanned(ctx, l, m.ID, &r, s.at.brings(m.ID)); err != nil {
		return r, err
	}
	if err := s.abortUploadsOf(ctx, m.ID); err != nil {
		return r, err
	}
	for _, dir := range []string{"long/", "bring/", "plan/", "seg/"} {
		if err := l.check(); err != nil { // the ID may be somebody else's by now
			return r, err
		}
		if err := s.control.removeAll(ctx, s.at.dir(m.ID)+dir); err != nil {
			return r, err
		}
	}
	if err := l.check(); err != nil {
		return r, err
	}
	if err := s.dest.Delete(ctx, s3.Target{Key: s.at.claim(m.ID)}); err != nil {
		return r, err
	}
	err := s.dest.Delete(ctx, s3.Target{Key: s.at.manifest(m.ID), ETag: etag})
	if errors.Is(err, s3.ErrUnsupported) {
		err = s.dest.Delete(ctx, s3.Target{Key: s.at.manifest(m.ID)})
	}
	return r, err
}

// clearEntries deletes the copies that a segment's own entries name, if they
// still are what was recorded.
func (s *Store) clearEntries(ctx context.Context, l *lease, id ID, seg *segment, r *Removal) error {
	if err := l.check(); err != nil {
		return err
	}
	var targets []s3.Target
	for _, e := range seg.Entries {
		if e.Owner == "" {
			targets = append(targets, s3.Target{Key: s.at.place(id, e), ETag: e.copyETag()})
			r.Bytes += e.Size
		}
	}
	r.Objects += int64(len(targets))
	return s.deleteTargets(ctx, targets, r)
}

// deleteTargets deletes copies in the state that is known; others are left.
func (s *Store) deleteTargets(ctx context.Context, targets []s3.Target, r *Removal) error {
	var left []string
	err := s.deleteFrom(ctx, s.dest, targets, &left)
	r.Objects -= int64(len(left))
	r.Foreign += int64(len(left))
	if len(left) > 0 {
		r.Example = left[0]
	}
	return err
}

// deleteFrom deletes objects in the state that is known, and adds the keys of
// those that are not in it any more to left.
func (s *Store) deleteFrom(ctx context.Context, bucket s3.Bucket, targets []s3.Target, left *[]string) error {
	for batch := range slices.Chunk(targets, s3.MaxDelete) {
		err := s.gate.do(ctx, func() error { return bucket.Delete(ctx, batch...) })
		if errors.Is(err, s3.ErrUnsupported) { // no conditions here; a moment ago the state was right
			for i := range batch {
				batch[i].ETag = ""
			}
			err = s.gate.do(ctx, func() error { return bucket.Delete(ctx, batch...) })
		}
		var some *s3.DeleteError
		if !errors.As(err, &some) {
			if err != nil {
				return err
			}
			continue
		}
		for key, err := range some.Failed {
			if !errors.Is(err, s3.ErrChanged) {
				return err
			}
			*left = append(*left, key)
		}
	}
	return nil
}

// clearPlanned deletes the copies that no manifest speaks of: what lies at places
// that the plans or segments below the prefixes name.
func (s *Store) clearPlanned(ctx context.Context, l *lease, id ID, r *Removal, prefixes ...string) error {
	for _, prefix := range prefixes {
		files, _, err := s.control.list(ctx, prefix, "")
		if err != nil {
			return err
		}
		for _, file := range files {
			plan, err := s.readPlan(ctx, file.Key)
			if errors.Is(err, ErrDamaged) { // no other snapshot must have to stay for it
				s.cfg.Log.Warn("objects that it speaks of may remain", "snapshot", id, "err", err)
				continue
			}
			if err != nil {
				return err
			}
			if err := s.clearPlaces(ctx, l, id, plan, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) clearPlaces(ctx context.Context, l *lease, id ID, seg *segment, r *Removal) error {
	if err := l.check(); err != nil {
		return err
	}
	planned := map[string]bool{}
	for _, e := range seg.Entries {
		if e.Owner == "" {
			planned[e.Key] = true
		}
	}
	var targets []s3.Target
	for o, err := range s.copiesIn(ctx, id, seg.span()) {
		if err != nil {
			return err
		}
		if planned[o.Key[len(s.at.objects(id)):]] {
			targets = append(targets, s3.Target{Key: o.Key, ETag: o.ETag})
			r.Bytes += o.Size
		}
	}
	r.Objects += int64(len(targets))
	return s.deleteTargets(ctx, targets, r)
}
