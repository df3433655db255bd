package snapshot

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Overwrite says what Restore does with objects that are there.
type Overwrite string

// The ways to treat what is there.
const (
	OverwriteChanged Overwrite = "changed" // replace what differs; the default
	OverwriteNever   Overwrite = "never"
	OverwriteAlways  Overwrite = "always"
)

// RestoreOptions say what goes where. The zero value brings the whole snapshot
// back to where it came from, and deletes nothing.
type RestoreOptions struct {
	Paths []string // keys, or prefixes that end in "/"; none is everything

	To       s3.Bucket // nil is the source
	Direct   s3.Bucket // To as Config.Direct is the source; nil is To
	ToName   string    // of To
	ToPrefix string    // put before every key

	Overwrite Overwrite
	Delete    bool // remove what the snapshot has not, within its scope and Paths
	NoSafety  bool // do not snapshot first what is about to change
	DryRun    bool

	Progress *Progress // may be nil
}

// Restored is what a restore did, or, in a dry run, would do.
type Restored struct {
	ID        ID
	Copied    int64
	Bytes     int64 // of these
	Same      int64 // already as in the snapshot
	Kept      int64 // differ, and were left because of OverwriteNever
	Deleted   int64
	Safety    ID       // the snapshot of what was replaced or deleted
	Conflicts []string // keys that somebody changed meanwhile; theirs stay
	Damaged   []string // keys whose copies are missing or altered
	Skipped   []Note   // keys that a directory cannot have, or that are a snapshot's
	Cost      Cost     // in a dry run
}

// restoration is one run of Restore.
type restoration struct {
	s      *Store
	m      *Manifest
	o      RestoreOptions
	to     s3.Bucket
	scope  scope
	copier *copier
	keptIn *finder // in the safety snapshot; nil without. Only for run's loop

	mu     sync.Mutex
	done   Restored // guarded by mu
	listed int64    // objects at the target
	heads  int64    // guarded by mu
}

// inPlace says whether the objects go where they came from.
func (r *restoration) inPlace() bool { return r.to == r.s.source && r.o.ToPrefix == "" }

func (r *restoration) toName() string {
	if r.o.To == nil {
		return r.s.cfg.SourceName
	}
	return r.o.ToName
}

// Restore copies objects out of a snapshot. Only what differs is touched, each
// under the condition that it still is what was looked at. Before live data
// changes, a safety snapshot keeps what it was.
func (s *Store) Restore(ctx context.Context, id ID, o RestoreOptions) (*Restored, error) {
	r, err := s.newRestoration(ctx, id, o)
	if err != nil {
		return nil, err
	}
	if o.DryRun {
		err := r.run(ctx)
		r.totalCost()
		return &r.done, err
	}
	if r.safetyWanted() {
		if err := r.safety(ctx); err != nil {
			return nil, fmt.Errorf("keeping what is about to change: %w", err)
		}
	}
	err = s.locked(ctx, "restore of "+string(id), func(ctx context.Context, _ *lease) error {
		if err := r.reload(ctx); err != nil {
			return err
		}
		if err := s.abortNoted(ctx, r.to, r.toName()); err != nil {
			return err
		}
		r.copier.uploads = &notingBucket{r.to, s, r.toName()}
		return r.run(ctx)
	})
	r.copier.uploads = r.to
	if errors.Is(err, s3.ErrDenied) && r.done.Copied == 0 { // a key that only reads need not lock
		s.cfg.Log.Warn("restoring without the lock, which this key may not take", "err", err)
		err = r.run(ctx)
	}
	return &r.done, err
}

// reload reads the manifests again now that nobody can remove snapshots: until
// then copies may have moved.
func (r *restoration) reload(ctx context.Context) error {
	m, err := r.s.Load(ctx, r.m.ID)
	if err != nil {
		return err
	}
	r.m = m
	if r.keptIn == nil {
		return nil
	}
	kept, err := r.s.Load(ctx, r.keptIn.m.ID)
	if err != nil {
		return err
	}
	r.keptIn = r.s.finder(kept)
	return nil
}

func (s *Store) newRestoration(ctx context.Context, id ID, o RestoreOptions) (*restoration, error) {
	m, err := s.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	if o.To == nil && !s.Ours(m.Info()) {
		return nil, fmt.Errorf("%w: %s is of the bucket %s, and not of %s; say where it is to go if that is meant", ErrRefused, id, m.Source.Bucket, s.cfg.SourceName)
	}
	if o.Delete && m.Skipped > 0 {
		return nil, fmt.Errorf("%w: %s lacks %d objects that could not be read; deleting what it has not would delete these", ErrRefused, id, m.Skipped)
	}
	if o.Delete && m.Mode == Safety {
		return nil, fmt.Errorf("%w: %s holds only what a restore changed; deleting what it has not would delete all else", ErrRefused, id)
	}
	if err := s.checkPaths(ctx, m, o); err != nil {
		return nil, err
	}
	if o.Overwrite == "" {
		o.Overwrite = OverwriteChanged
	}
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	r := &restoration{s: s, m: m, o: o, to: o.To, done: Restored{ID: id}}
	if r.to == nil {
		r.to = s.source
	}
	if r.scope, err = s.scopeOf(ctx, m, r.to); err != nil {
		return nil, err
	}
	if r.scope.isOwn(o.ToPrefix) {
		return nil, fmt.Errorf("%w: %s is within a snapshot", ErrRefused, o.ToPrefix)
	}
	r.copier = s.copier(s.dest, r.to, s.cfg.DestName)
	switch {
	case o.To == nil:
		r.copier.direct = s.cfg.Direct
	case o.Direct != nil:
		r.copier.direct = o.Direct
	}
	o.Progress.Listed.Store(m.Objects)
	o.Progress.ListedBytes.Store(m.Bytes)
	return r, nil
}

// doomedSegments is how many segments' worth of extras wait for the end, which is
// as much memory: 20 MB.
const doomedSegments = 20

// run compares, copies, and then deletes, but for extras beyond what is worth
// remembering, which go at once. It looks for snapshots anew: one that
// was made since the last look, as the safety snapshot, is none of the extras.
func (r *restoration) run(ctx context.Context) (err error) {
	if r.scope, err = r.s.scopeOf(ctx, r.m, r.to); err != nil {
		return err
	}
	var doomed []s3.Target
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	for p, err := range merge(r.entries(groupCtx), entryKey, r.targets(groupCtx), objectKey) {
		if err != nil {
			return errors.Join(group.Wait(), err)
		}
		if !p.inA && !r.o.Delete {
			continue
		}
		if p.inA && r.scope.isOwn(r.o.ToPrefix+p.key) && wants(r.o.Paths, p.key) {
			r.skip(p.key, "would be within a snapshot")
			continue
		}
		kept, err := r.kept(ctx, p)
		if err != nil {
			return errors.Join(group.Wait(), err)
		}
		if p.inA {
			group.Go(func() error { return r.one(groupCtx, p, kept) })
			continue
		}
		what, err := r.decide(ctx, p)
		switch {
		case err != nil:
			return errors.Join(group.Wait(), err)
		case what == remove && !kept:
			r.conflict(p.key)
		case what == remove:
			r.plan(p)
			doomed = append(doomed, s3.Target{Key: r.o.ToPrefix + p.key, ETag: p.b.ETag})
		}
		if len(doomed) == doomedSegments*r.s.cfg.SegmentEntries {
			if err := r.remove(ctx, doomed); err != nil {
				return errors.Join(group.Wait(), err)
			}
			doomed = doomed[:0]
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return r.remove(ctx, doomed)
}

// entries are those of the snapshot that may be meant.
func (r *restoration) entries(ctx context.Context) iter.Seq2[Entry, error] {
	prefix := commonPrefix(r.o.Paths)
	return under(r.s.entriesFrom(ctx, r.m, before(prefix)), prefix)
}

// targets lists what is where the entries may go, with keys as in the snapshot.
func (r *restoration) targets(ctx context.Context) iter.Seq2[s3.Object, error] {
	return func(yield func(s3.Object, error) bool) {
		for o, err := range r.scope.objects(ctx, r.to, r.o.ToPrefix+commonPrefix(r.o.Paths)) {
			if err == nil {
				r.listed++ // by one goroutine at a time
				if o.Key = o.Key[len(r.o.ToPrefix):]; o.Key == "" {
					continue
				}
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// commonPrefix is the longest prefix of all paths; empty if there are none.
func commonPrefix(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	prefix := paths[0]
	for _, path := range paths[1:] {
		prefix = prefix[:commonRunes(prefix, path)]
	}
	return prefix
}

// one restores one key, if it needs to be, and if what is there was kept.
func (r *restoration) one(ctx context.Context, p pair[Entry, s3.Object], kept bool) error {
	what, err := r.decide(ctx, p)
	if err != nil {
		return err
	}
	switch {
	case what == replace && !kept:
		r.conflict(p.key)
	case what == replace && r.o.DryRun:
		r.count(p.a, &r.done.Copied)
		r.plan(p)
	case what == replace:
		if err := r.copy(ctx, p); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch what {
	case same:
		r.done.Same++
		r.o.Progress.Kept.Add(1)
	case keep:
		r.done.Kept++
	}
	return nil
}
