package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// rewriter changes where the copies of an existing snapshot are, never what is
// in it: new segments are written beside the old, and the manifest changes over
// to all of them at once.
type rewriter struct {
	s       *Store
	lease   *lease
	concern func(SegmentRef) bool                                         // whether a segment may need change
	change  func(context.Context, ID, *segment) (changed bool, err error) // in key order, one segment at a time
	lost    func(SegmentRef)                                              // a segment is damaged; nil is an error

	// always tidies up, also if nothing is to be changed: an earlier run may have
	// ended right before that.
	always bool
}

// run rewrites one snapshot. It is safe to repeat after a crash.
func (r *rewriter) run(ctx context.Context, id ID) error {
	m, etag, err := r.s.load(ctx, id)
	if err != nil {
		return err
	}
	refs := slices.Clone(m.Segments)
	changedAny := false
	for i, ref := range refs {
		if !r.concern(ref) {
			continue
		}
		seg, err := r.s.readSegment(ctx, id, ref)
		if errors.Is(err, ErrDamaged) && r.lost != nil {
			r.lost(ref)
			continue
		}
		if err != nil {
			return err
		}
		changed, err := r.change(ctx, id, seg)
		if err != nil {
			return fmt.Errorf("rewriting %s: %w", id, err)
		}
		if !changed {
			continue
		}
		if refs[i], err = r.write(ctx, id, seg, ref); err != nil {
			return err
		}
		changedAny = true
	}
	if changedAny {
		err = r.save(ctx, m, refs, etag)
	}
	if err != nil || !changedAny && !r.always {
		return err
	}
	return r.s.tidy(ctx, r.lease, m)
}

// save changes the manifest over to the new segments.
func (r *rewriter) save(ctx context.Context, m *Manifest, refs []SegmentRef, etag string) error {
	m.setSegments(refs)
	if len(m.owners()) == 0 && m.Mode == Incremental {
		m.Mode = Full
	}
	if err := r.lease.check(); err != nil {
		return err
	}
	_, err := r.s.save(ctx, m, etag)
	return err
}

// write puts a changed segment beside the one that it replaces. Its name tells
// its content, so that repeating the work writes the same file.
func (r *rewriter) write(ctx context.Context, id ID, seg *segment, old SegmentRef) (SegmentRef, error) {
	if err := r.lease.check(); err != nil {
		return SegmentRef{}, err
	}
	data, err := seg.encode(r.s.zips)
	if err != nil {
		return SegmentRef{}, err
	}
	sum := sum256(data)
	base, _, _ := strings.Cut(strings.TrimSuffix(old.Name, ".ndjson.gz"), "~")
	name := base + "~" + sum[:12] + ".ndjson.gz"
	o := s3.PutOptions{Attributes: s3.Attributes{ContentType: gzipType}}
	if _, err := r.s.dest.Put(ctx, r.s.at.dir(id)+name, bytes.NewReader(data), o); err != nil {
		return SegmentRef{}, err
	}
	return seg.ref(name, sum), nil
}

// bring copies entries that other snapshots hold into snapshot id, and makes
// them its own. indexes are those of seg's entries.
func (s *Store) bring(ctx context.Context, l *lease, id ID, seg *segment, indexes []int) error {
	if err := s.planBring(ctx, l, id, seg, indexes); err != nil {
		return err
	}
	copier := s.copier(s.dest, s.dest, "")
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	for _, i := range indexes {
		group.Go(func() error {
			if err := l.check(); err != nil {
				return err
			}
			e := &seg.Entries[i]
			to, _ := s.at.object(id, e.Key)
			from := version{s.at.place(id, *e), e.copyETag(), e.Size, e.StorageClass}
			done, err := s.copyOver(ctx, copier, from, to, *e)
			if err != nil {
				return fmt.Errorf("copying %q from %s into %s: %w", e.Key, e.Owner, id, err)
			}
			e.Owner = ""
			*e = e.resultOf(done)
			return nil
		})
	}
	return group.Wait()
}

// planBring records what is about to be copied into a snapshot, so that it is
// found again if the manifest never comes to speak of it.
func (s *Store) planBring(ctx context.Context, l *lease, id ID, seg *segment, indexes []int) error {
	if len(indexes) == 0 {
		return nil
	}
	plan := segment{header: seg.header}
	plan.Notes = nil
	for _, i := range indexes {
		e := seg.Entries[i]
		e.Owner = ""
		plan.Entries = append(plan.Entries, e)
	}
	data, err := plan.encode(s.zips)
	if err != nil {
		return err
	}
	name := l.run() + "-" + sum256([]byte(seg.After))[:12] + ".ndjson.gz"
	o := s3.PutOptions{Attributes: s3.Attributes{ContentType: gzipType}}
	_, err = s.dest.Put(ctx, s.at.brings(id)+name, bytes.NewReader(data), o)
	return err
}
