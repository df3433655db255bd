package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// begin prepares a run and claims its ID.
func (s *Store) begin(ctx context.Context, o CreateOptions) (*creation, *Manifest, error) {
	c, existing, err := s.prepare(ctx, o)
	if existing != nil || err != nil {
		return nil, existing, err
	}
	return c, nil, c.claim(ctx)
}

// prepare looks at all that could forbid the run and chooses its ID. It returns
// an existing snapshot instead if that will do.
func (s *Store) prepare(ctx context.Context, o CreateOptions) (*creation, *Manifest, error) {
	filter, err := newFilter(o.Filter)
	if err != nil {
		return nil, nil, err
	}
	if err := s.refusePublic(ctx, o.AllowPublic); err != nil {
		return nil, nil, err
	}
	c := &creation{s: s, o: o, filter: filter, progress: o.Progress, refs: map[int]SegmentRef{}, heads: map[int]header{}}
	if c.progress == nil {
		c.progress = &Progress{}
	}
	ids, err := s.ids(ctx)
	if err != nil {
		return nil, nil, err
	}
	existing, err := c.chooseID(ctx, ids)
	if existing != nil || err != nil {
		return nil, existing, err
	}
	if o.Incremental {
		if err := c.chooseParents(ctx); err != nil {
			return nil, nil, err
		}
	}
	if o.adopt == "" {
		if c.own, err = s.ownPrefixes(ctx, append(ids, c.id)); err != nil {
			return nil, nil, err
		}
	}
	c.copier = s.copier(s.source, s.dest, s.cfg.SourceName)
	return c, nil, nil
}

func newFilter(patterns []Pattern) (Filter, error) {
	var exclude, include []string
	for _, p := range patterns {
		if p.Exclude != "" {
			exclude = append(exclude, p.Exclude)
		} else {
			include = append(include, p.Include)
		}
	}
	return NewFilter(exclude, include)
}

// refusePublic guards against publishing a bucket: copies and manifests under a
// policy that lets everybody read.
func (s *Store) refusePublic(ctx context.Context, allow bool) error {
	policy, ok := s3.As[s3.Policy](s.dest)
	if !ok || allow {
		return nil
	}
	public, err := policy.Public(ctx)
	if err != nil {
		s.cfg.Log.Debug("bucket policy not known", "err", err)
		return nil
	}
	if public {
		return fmt.Errorf("%w: anybody may read the bucket %s, and could read every copy in it; snapshot into another bucket or allow it", ErrRefused, s.cfg.DestName)
	}
	return nil
}

// resumeWithin is how long after its beginning an interrupted run is finished
// by one of the next day that was not told to: what is copied first must not be
// much older than what is copied last, nor may a run that comes every night find
// the one of the night before.
const resumeWithin = 12 * time.Hour

// chooseID finds the place: that of an interrupted run, if it was of today or not
// long ago and none of the same keys was made since, or a free one. It returns
// today's snapshot instead if that will do.
func (c *creation) chooseID(ctx context.Context, ids []ID) (existing *Manifest, err error) {
	if c.o.adopt != "" {
		return nil, c.chooseAdopted(ctx, ids)
	}
	now := c.s.cfg.Now()
	superseded, dayTaken := false, false // one of the same keys is later; today has one already
	var other error                      // the run to finish is not this one
	for _, id := range slices.Backward(ids) {
		today := id.day() == dayID(now)
		if !today && (superseded || !c.looksBack(id, now)) {
			break
		}
		info, m, err := c.s.look(ctx, id)
		if err != nil {
			return nil, err
		}
		switch {
		case m != nil && info.State.exists() && c.o.isOf(m, c.s.cfg.SourceName):
			if today && c.o.IfMissing {
				return m, nil
			}
			superseded = true
		case today && info.Running && !c.o.TakeOver:
			return nil, fmt.Errorf("%w: %s", ErrLocked, info.Run)
		case info.State == Incomplete && !c.o.NoResume && (today || !superseded && c.resumesAt(info, now)):
			if c.resumed, err = c.resumable(ctx, id); err != nil {
				return nil, err
			}
			if c.resumed {
				c.id = id
				return nil, nil
			}
			other = cmp.Or(other, fmt.Errorf("%w: %s was begun with other options, and is finished with the same", ErrRefused, id))
		}
		dayTaken = dayTaken || today && info.Mode != Safety
	}
	if c.o.Resume {
		return nil, cmp.Or(other, fmt.Errorf("%w: since the last one none was interrupted", ErrNoSnapshot))
	}
	c.id = freeID(now, ids, dayTaken || c.o.narrow != nil)
	return nil, c.refuseForeign(ctx)
}

// freeID is the name of a new snapshot. That of the day alone may be free because
// the first of the day is gone: it is before those of the others.
func freeID(now time.Time, ids []ID, second bool) ID {
	id := dayID(now)
	for second = second || slices.Contains(ids, id); second; now = now.Add(time.Second) {
		id = secondID(now)
		second = slices.Contains(ids, id)
	}
	return id
}

// looksBack says whether a run of an earlier day may be one to finish, so that
// not all that there are have to be asked.
func (c *creation) looksBack(id ID, now time.Time) bool {
	return !c.o.NoResume && (c.o.Resume || id.day() >= dayID(now.Add(-resumeWithin)))
}

func (c *creation) resumesAt(info Info, now time.Time) bool {
	return c.o.Resume || now.Sub(info.Started) < resumeWithin
}

// resumable says whether an interrupted run wanted what this one wants.
func (c *creation) resumable(ctx context.Context, id ID) (bool, error) {
	old, _, _, err := c.s.inspect(ctx, c.s.at.claim(id))
	switch {
	case errors.Is(err, s3.ErrNotFound): // nobody knows what it wanted
		return false, nil
	case err != nil:
		return false, err
	case old.Options != c.o.digest(c.s.cfg.SourceName):
		return false, nil
	}
	c.started, c.full = old.Started, old.Full
	return true, nil
}

// refuseForeign keeps our copies apart from objects that others put under the
// dated prefix.
func (c *creation) refuseForeign(ctx context.Context) error {
	prefix := c.s.at.objects(c.id)
	page, err := c.s.dest.ListPage(ctx, s3.ListInput{Prefix: prefix, Max: 1})
	if err != nil {
		return err
	}
	if len(page.Objects) > 0 {
		return fmt.Errorf("%w: there are objects below %s that no snapshot put there; adopt them, or choose another prefix", ErrRefused, prefix)
	}
	return nil
}

// ownPrefixes lists what belongs to snapshots in the source bucket, by their
// control files, never by looks: a dated prefix without is data as any other.
func (s *Store) ownPrefixes(ctx context.Context, ids []ID) ([]string, error) {
	if !s.sameBucket() {
		var err error
		if ids, err = controlIDs(ctx, control{s.source}, s.at); err != nil {
			return nil, err
		}
	}
	return s.prefixesOf(ids), nil
}

func (s *Store) prefixesOf(ids []ID) []string {
	prefixes := []string{s.at.control()}
	for _, id := range ids {
		prefixes = append(prefixes, s.at.objects(id))
	}
	return prefixes
}

// claim takes the lease of the chosen ID.
func (c *creation) claim(ctx context.Context) error {
	s := c.s
	c.run = s.cfg.NewRun()
	mine := s.newClaim(c.run, "snapshot "+string(c.id))
	if c.resumed {
		mine.Started = c.started // when the first of them was, of however many
	}
	c.started = mine.Started
	mine.Source, mine.Options = s.cfg.SourceName, c.o.digest(s.cfg.SourceName)
	mine.Adopt, mine.Full = c.o.adopt != "", c.full
	lease, old, err := s.acquire(ctx, s.at.claim(c.id), mine, c.o.TakeOver)
	if err != nil {
		return err
	}
	c.lease = lease
	return c.checkFree(ctx, old)
}

// checkFree looks again whether we may begin: until the ID was claimed another
// run may have made the snapshot, or have begun one. Its objects are not ours to
// write over, nor data to be copied. Of two that claim at once, at least one sees
// the other.
func (c *creation) checkFree(ctx context.Context, old *claim) error {
	giveUp := context.WithoutCancel(ctx) // whatever has ended the run: it would lock out the next
	_, _, err := c.s.loadAny(ctx, c.id)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("%w: it made %s a moment ago, try again", ErrLocked, c.id), c.lease.release(giveUp))
	case errors.Is(err, ErrNoSnapshot):
		err = nil
	}
	if old != nil && !c.resumed {
		c.lease.claim = *old // who wants the same can go on with it
		err = fmt.Errorf("%w: it began %s a moment ago, try again", ErrLocked, c.id)
	}
	if err == nil && !c.o.TakeOver {
		err = c.s.checkNobodyCreates(ctx, c.id)
	}
	if err == nil {
		return nil
	}
	if old == nil {
		return errors.Join(err, c.lease.release(giveUp))
	}
	return errors.Join(err, c.lease.abandon(giveUp))
}

// checkUnlocked returns ErrLocked while somebody removes snapshots.
func (s *Store) checkUnlocked(ctx context.Context) error {
	holder, _, alive, err := s.inspect(ctx, s.at.lock())
	if errors.Is(err, s3.ErrNotFound) {
		return nil
	}
	if err == nil && alive {
		return fmt.Errorf("%w: %s", ErrLocked, holder)
	}
	return err
}

// ownSpans are the parts of the key space that need no listing.
func (c *creation) ownSpans() []span { return belowAll(c.own) }
