package snapshot

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// creation is one run of Create.
type creation struct {
	s        *Store
	o        CreateOptions
	filter   Filter
	id       ID
	run      string
	started  time.Time
	resumed  bool
	lease    *lease
	copier   *copier
	full     bool        // although o.Incremental: it is due
	parents  []*Manifest // what to link to, the first that has it
	own      []string    // prefixes of snapshots in the source, which are never copied
	progress *Progress
	tagsLost atomic.Int64

	mu     sync.Mutex
	refs   map[int]SegmentRef // guarded by mu; by number
	heads  map[int]header     // guarded by mu; of the same segments
	serial int                // guarded by mu; the last number in use
}

// Create makes a snapshot, or finishes one that was interrupted. It returns
// ErrLocked if another run is at it, ErrRefused with advice where it would be
// unsafe; after any other error a second run continues where this one ended.
func (s *Store) Create(ctx context.Context, o CreateOptions) (*Created, error) {
	c, existing, err := s.begin(ctx, o)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		return &Created{Manifest: existing, Existed: true}, nil
	}
	var m *Manifest
	err = c.lease.hold(ctx, func(ctx context.Context) (err error) {
		m, err = c.make(ctx)
		return err
	})
	if err != nil {
		c.lease.abandon(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("making %s: %w", c.id, err)
	}
	if m == nil {
		return nil, nil
	}
	if err := c.lease.release(ctx); err != nil {
		s.cfg.Log.Warn("claim left behind; prune removes it", "snapshot", c.id, "err", err)
	}
	return &Created{
		Manifest: m, Resumed: c.resumed, TagsLost: c.tagsLost.Load(), Copies: c.progress.Copied.Load(),
	}, nil
}

// make does the work between claim and commit, each step of which a later run
// may find done.
func (c *creation) make(ctx context.Context) (*Manifest, error) {
	if err := c.s.checkUnlocked(ctx); err != nil {
		return nil, err
	}
	if err := c.gather(ctx); err != nil {
		return nil, err
	}
	if c.o.narrow != nil && c.empty() {
		return nil, c.s.control.removeAll(ctx, c.s.at.dir(c.id))
	}
	c.progress.Phase.Store(PhaseChecking)
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	c.progress.Phase.Store(PhaseCommitting)
	// Once the snapshot exists, others may write into it what we know nothing of.
	if err := c.s.tidyFiles(ctx, c.lease, c.id, c.sorted()); err != nil {
		return nil, err
	}
	return c.commit(ctx)
}

// empty says whether there is nothing in any segment.
func (c *creation) empty() bool {
	for _, ref := range c.sorted() {
		if ref.Objects > 0 {
			return false
		}
	}
	return true
}

// gather writes the segments, and makes the copies that they tell of.
func (c *creation) gather(ctx context.Context) error {
	if c.o.adopt != "" {
		return c.index(ctx)
	}
	left, plans, err := c.takeStock(ctx)
	if err != nil {
		return err
	}
	return c.copyAll(ctx, left, plans)
}
