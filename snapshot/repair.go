package snapshot

import (
	"context"
	"errors"

	"github.com/cgs3fs/cgs3fs/s3"
)

// repairSegment looks at a segment and makes the damaged copies anew where the
// same version is still to be had. It is the change of a rewriter.
func (v *verification) repairSegment(ctx context.Context, id ID, seg *segment) (changed bool, err error) {
	damaged, err := v.audit(ctx, id, seg)
	if err != nil || len(damaged) == 0 {
		return false, err
	}
	var indexes []int
	for i, e := range seg.Entries {
		if damaged[e.Key] {
			indexes = append(indexes, i)
		}
	}
	if err := v.s.planBring(ctx, v.lease, id, seg, indexes); err != nil {
		return false, err
	}
	for _, i := range indexes {
		e := &seg.Entries[i]
		repaired, err := v.repair(ctx, id, *e)
		if errors.Is(err, errNoSource) {
			continue
		}
		if err != nil {
			return changed, err
		}
		changed = true
		*e = repaired
		v.mu.Lock()
		v.found.Repaired++
		v.mu.Unlock()
	}
	return changed, nil
}

var errNoSource = errors.New("the version is nowhere else")

// repair copies the entry's version into the snapshot itself: from the source if
// that still has it, or else from another snapshot. What was a link becomes a
// copy of its own.
func (v *verification) repair(ctx context.Context, id ID, e Entry) (Entry, error) {
	if err := v.lease.check(); err != nil {
		return Entry{}, err
	}
	own := e
	own.Owner = ""
	to, _ := v.s.at.object(id, e.Key)
	live := v.s.copier(v.s.source, v.s.dest, v.s.cfg.SourceName)
	done, err := live.copy(ctx, version{e.Key, e.ETag, e.Size, e.StorageClass}, place{key: to})
	if err == nil {
		return own.resultOf(done.Info), nil
	}
	if !errors.Is(err, s3.ErrChanged) && !errors.Is(err, s3.ErrNotFound) {
		return Entry{}, err
	}
	from, err := v.otherCopy(ctx, id, e)
	if err != nil {
		return Entry{}, err
	}
	within := v.s.copier(v.s.dest, v.s.dest, "")
	done, err = within.copy(ctx, from, place{key: to})
	if errors.Is(err, s3.ErrChanged) || errors.Is(err, s3.ErrNotFound) {
		return Entry{}, errNoSource
	}
	return own.resultOf(done.Info), err
}

// otherCopy looks for the version among the copies that other snapshots own.
func (v *verification) otherCopy(ctx context.Context, id ID, e Entry) (version, error) {
	list, err := v.s.List(ctx)
	if err != nil {
		return version{}, err
	}
	for _, info := range Existing(list) {
		if info.ID == id || info.ID == e.Owner {
			continue
		}
		m, err := v.s.Load(ctx, info.ID)
		if err != nil {
			return version{}, err
		}
		other, found, err := v.s.finder(m).find(ctx, e.Key)
		if err != nil || !found || other.Owner != "" || !other.sameVersion(e) {
			continue // also what cannot be read: we only look for one that can
		}
		place := v.s.at.place(info.ID, other)
		if there, err := v.s.dest.Head(ctx, place); err == nil && there.ETag == other.copyETag() {
			return version{place, other.copyETag(), e.Size, e.StorageClass}, nil
		}
	}
	return version{}, errNoSource
}
