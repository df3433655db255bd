package snapshot

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// repair looks at all segments and mends what it can.
func (v *verification) repair(ctx context.Context) error {
	r := &rewriter{
		s: v.s, lease: v.lease, always: !v.o.DryRun, lost: v.damagedSegment,
		concern: func(SegmentRef) bool { return true },
		change:  v.repairSegment,
	}
	err := r.run(ctx, v.found.ID)
	v.found.Cost.total()
	return err
}

// repairSegment looks at a segment and makes the damaged copies anew where the
// same version is still to be had. What was a link becomes a copy of the
// snapshot's own. It is the change of a rewriter.
func (v *verification) repairSegment(ctx context.Context, id ID, seg *segment) (changed bool, err error) {
	damaged, err := v.audit(ctx, id, seg)
	if err != nil || len(damaged) == 0 {
		return false, err
	}
	var indexes []int
	var origins []origin
	for i := range seg.Entries {
		e := &seg.Entries[i]
		if !damaged[e.Key] {
			continue
		}
		kept, err := v.keepEarlier(ctx, id, e)
		if err != nil {
			return false, err
		}
		if kept {
			changed = true
			v.found.Repaired++
			continue
		}
		from, found, err := v.originOf(ctx, id, *e)
		if err != nil {
			return false, err
		}
		if found {
			indexes, origins = append(indexes, i), append(origins, from)
		}
	}
	if v.o.DryRun {
		v.count(seg, indexes)
		return false, nil
	}
	if err := v.s.planBring(ctx, v.lease, id, seg, indexes); err != nil {
		return changed, err
	}
	mended, err := v.copyAnew(ctx, id, seg, indexes, origins)
	return changed || mended, err
}

// count tells what a repair would copy.
func (v *verification) count(seg *segment, indexes []int) {
	v.found.Repaired += int64(len(indexes))
	for _, i := range indexes {
		v.found.Cost.copy(seg.Entries[i].Size, v.s.cfg)
	}
	if len(indexes) > 0 {
		v.found.Cost.Writes += 2 // plan and segment
	}
}

// keepEarlier takes what an interrupted repair put in the entry's place. What
// has the very ETag that is recorded was there when it was found damaged.
func (v *verification) keepEarlier(ctx context.Context, id ID, e *Entry) (bool, error) {
	place, _ := v.s.at.object(id, e.Key)
	there, err := v.s.head(ctx, place)
	if err != nil || !e.provenBy(there) || e.Owner == "" && there.ETag == e.copyETag() {
		return false, err
	}
	own := *e
	own.Owner = ""
	own = own.resultOf(there)
	if v.o.Level == ByReading {
		problems, err := v.auditContent(ctx, own, place)
		if err != nil || len(problems) > 0 {
			return false, err
		}
	}
	*e = own
	return true, nil
}

// origin is where a version can be had.
type origin struct {
	copier *copier
	version
}

// originOf finds the entry's version in the source, or else among the copies
// that other snapshots own.
func (v *verification) originOf(ctx context.Context, id ID, e Entry) (origin, bool, error) {
	var live s3.Info
	err := v.s.gate.do(ctx, func() (err error) {
		live, err = v.s.source.Head(ctx, e.Key)
		return err
	})
	if err != nil && !errors.Is(err, s3.ErrNotFound) && !errors.Is(err, s3.ErrDenied) {
		return origin{}, false, err
	}
	if err == nil && live.ETag == e.ETag && live.Size == e.Size {
		return origin{v.live, version{e.Key, e.ETag, e.Size, e.StorageClass}}, true, nil
	}
	if v.others == nil {
		if v.others, err = v.s.finders(ctx, id); err != nil {
			return origin{}, false, err
		}
	}
	for _, f := range v.others {
		other, found, err := f.find(ctx, e.Key)
		if err != nil || !found || other.Owner != "" || !other.sameVersion(e) {
			continue // also what cannot be read: we only look for one that can
		}
		if f.m.ID == e.Owner && other.copyETag() == e.copyETag() {
			continue // the very copy that is damaged, and not one that a repair made since
		}
		place := v.s.at.place(f.m.ID, other)
		if there, err := v.s.head(ctx, place); err == nil && there.ETag == other.copyETag() {
			return origin{v.within, version{place, other.copyETag(), e.Size, e.StorageClass}}, true, nil
		}
	}
	return origin{}, false, nil
}

// finders look into all existing snapshots but one.
func (s *Store) finders(ctx context.Context, but ID) ([]*finder, error) {
	list, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	finders := []*finder{}
	for _, info := range Existing(list) {
		if info.ID == but {
			continue
		}
		m, err := s.Load(ctx, info.ID)
		if err != nil {
			return nil, err
		}
		finders = append(finders, s.finder(m))
	}
	return finders, nil
}

// copyAnew copies entries from their origins into the snapshot itself. One that
// changed since it was found stays damaged.
func (v *verification) copyAnew(ctx context.Context, id ID, seg *segment, indexes []int, origins []origin) (changed bool, err error) {
	done := make([]bool, len(indexes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	for n, i := range indexes {
		group.Go(func() error {
			if err := v.lease.check(); err != nil {
				return err
			}
			e, from := &seg.Entries[i], origins[n]
			to, _ := v.s.at.object(id, e.Key)
			info, err := from.copier.copy(ctx, from.version, place{key: to})
			if errors.Is(err, s3.ErrChanged) || errors.Is(err, s3.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			e.Owner = ""
			*e = e.resultOf(info.Info)
			done[n] = true
			return nil
		})
	}
	err = group.Wait()
	for _, ok := range done {
		if ok {
			changed = true
			v.found.Repaired++
		}
	}
	return changed, err
}
