package snapshot

import (
	"context"
	"fmt"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// checkPaths finds paths that the snapshot has nothing of, which are typing
// errors; but one that is to be emptied may well have been empty.
func (s *Store) checkPaths(ctx context.Context, m *Manifest, o RestoreOptions) error {
	for _, path := range o.Paths {
		isDir := strings.HasSuffix(path, "/")
		first, err := s.firstUnder(ctx, m, path)
		switch {
		case err != nil:
			return err
		case first == path || isDir && (first != "" || o.Delete):
			continue
		case !isDir:
			below, err := s.firstUnder(ctx, m, path+"/")
			if err != nil {
				return err
			}
			if below != "" {
				return fmt.Errorf("%w: %s has no object %q; what is below it is %q", ErrNoKey, m.ID, path, path+"/")
			}
		}
		return fmt.Errorf("%w: %s has no %q", ErrNoKey, m.ID, path)
	}
	return nil
}

// firstUnder is the first key with a prefix, or empty.
func (s *Store) firstUnder(ctx context.Context, m *Manifest, prefix string) (string, error) {
	for e, err := range under(s.entriesFrom(ctx, m, before(prefix)), prefix) {
		return e.Key, err
	}
	return "", nil
}

// safetyWanted says whether what changes is kept first: whatever is in the source
// is live.
func (r *restoration) safetyWanted() bool { return r.to == r.s.source && !r.o.NoSafety }

// plan counts what it takes to change one key of the target, in a dry run.
func (r *restoration) plan(p pair[Entry, s3.Object]) {
	if !r.o.DryRun {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.inA {
		r.done.Cost.copy(p.a.Size, r.s.cfg)
	}
	if p.inB && r.safetyWanted() {
		r.done.Cost.copy(p.b.Size, r.s.cfg)
	}
}

// totalCost adds what does not depend on single keys. What is to be kept first
// is listed and compared once more.
func (r *restoration) totalCost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	times := int64(1)
	if r.safetyWanted() {
		times = 2
	}
	c := &r.done.Cost
	c.Lists = times * pages(r.listed)
	c.Reads = times * (r.heads + int64(len(r.m.Segments)))
	c.Deletes = pages(r.done.Deleted)
	c.total()
}
