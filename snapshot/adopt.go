package snapshot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Adopt makes a snapshot of what another tool copied below the dated prefix dir,
// such as "data/2025/06/01/" or "2025/06/01": it is listed and recorded, and
// nothing is copied. When the originals were written is not known any more; the
// entries have the times of the copies.
func (s *Store) Adopt(ctx context.Context, dir string, o CreateOptions) (*Created, error) {
	o, err := s.adoption(dir, o)
	if err != nil {
		return nil, err
	}
	return s.Create(ctx, o)
}

// PlanAdopt tells what Adopt would do.
func (s *Store) PlanAdopt(ctx context.Context, dir string, o CreateOptions) (*Estimate, error) {
	o, err := s.adoption(dir, o)
	if err != nil {
		return nil, err
	}
	c, _, err := s.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	est := &Estimate{ID: c.id}
	for object, err := range listing(ctx, s.dest, s.at.objects(c.id), "") {
		if err != nil {
			return nil, err
		}
		est.Objects++
		est.Bytes += object.Size
	}
	est.Lists = 2 * pages(est.Objects)
	est.Writes = 2 + est.Objects/int64(s.cfg.SegmentEntries) // segments, claim and manifest
	est.Dollars = float64(est.Lists+est.Writes) / 1000 * priceWrite
	return est, nil
}

func (s *Store) adoption(dir string, o CreateOptions) (CreateOptions, error) {
	id, err := idOfPath(strings.TrimPrefix(strings.TrimPrefix(dir, "/"), s.at.prefix))
	if err != nil {
		return o, fmt.Errorf("%w: %w below %q", ErrRefused, err, s.at.prefix)
	}
	o.adopt, o.From, o.Incremental, o.Filter = id, "", false, nil
	return o, nil
}

// chooseAdopted refuses what is a snapshot, and what is not there.
func (c *creation) chooseAdopted(ctx context.Context, ids []ID) error {
	c.id = c.o.adopt
	if slices.Contains(ids, c.id) {
		info, err := c.s.info(ctx, c.id)
		switch {
		case err != nil:
			return err
		case info.Running && !c.o.TakeOver:
			return fmt.Errorf("%w: %s", ErrLocked, info.Run)
		}
		ok, err := c.resumable(ctx, c.id)
		switch {
		case err != nil:
			return err
		case info.State != Incomplete || !ok:
			return fmt.Errorf("%w: %s is a snapshot already, or the beginning of one", ErrRefused, c.id)
		}
		c.resumed = true
	}
	for _, err := range listing(ctx, c.s.dest, c.s.at.objects(c.id), "") {
		return err // one object is enough
	}
	return fmt.Errorf("%w: there is nothing below %s", ErrNoSnapshot, c.s.at.objects(c.id))
}

// index lists the adopted objects and writes them down as copied.
func (c *creation) index(ctx context.Context) error {
	prefix := c.s.at.objects(c.id)
	chunks, ctx := errgroup.WithContext(ctx)
	chunks.SetLimit(chunksAtOnce)
	lister := c.lister()
	lister.bucket, lister.prefix = c.s.dest, prefix
	lister.emit = func(b batch) {
		b.after = strings.TrimPrefix(b.after, prefix)
		b.through = strings.TrimPrefix(b.through, prefix)
		for i := range b.objects {
			b.objects[i].Key = b.objects[i].Key[len(prefix):]
		}
		b.objects = slices.DeleteFunc(b.objects, isDirItself)
		chunks.Go(func() error {
			ch := c.chunkOf(b)
			return ch.writeSegment(ctx)
		})
	}
	listErr := lister.run(ctx, []span{{}})
	c.progress.Done.Store(listErr == nil)
	if err := chunks.Wait(); err != nil {
		return err
	}
	return listErr
}
