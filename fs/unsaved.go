package fs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// unsaved is the set of files with bytes that are not in the bucket.
type unsaved struct {
	mu    sync.Mutex
	files map[*file]bool // guarded by mu
}

func (u *unsaved) add(fl *file) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.files == nil {
		u.files = map[*file]bool{}
	}
	u.files[fl] = true
}

func (u *unsaved) remove(fl *file) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.files, fl)
}

func (u *unsaved) list() []*file {
	u.mu.Lock()
	out := slices.Collect(maps.Keys(u.files))
	u.mu.Unlock() // a file's own lock goes before this one
	return slices.DeleteFunc(out, func(fl *file) bool { return !fl.unsaved() })
}

// unsavedDirs is all directories with an unsaved file somewhere in them.
func (f *FS) unsavedDirs() map[*node]bool {
	files := f.unsaved.list()
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	holding := map[*node]bool{}
	for _, fl := range files {
		for n := fl.node.parent; n != nil && !holding[n]; n = n.parent {
			holding[n] = true
		}
	}
	return holding
}

// saveParallel is how many files are saved at the same time at a sync. Each may
// use several requests; the bucket's own limits are below.
const saveParallel = 16

// Sync saves everything that is not in the bucket yet. It tries every file and
// returns the first error.
func (f *FS) Sync(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(saveParallel)
	for _, fl := range f.unsaved.list() {
		g.Go(func() error {
			if err := fl.commit(ctx); err != nil {
				return fmt.Errorf("saving %s: %w", f.tree.path(fl.node), err)
			}
			return nil
		})
	}
	return errors.Join(g.Wait(), f.pending.sync(ctx, f))
}

// tell makes the next open of the file fail with the error, because the close
// that should have could not.
func (n *node) tell(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = fmt.Errorf("the last save failed: %w", err)
}

// forgetVersion makes the next open and stat ask the bucket again.
func (f *FS) forgetVersion(fl *file) {
	n := fl.node
	n.setCached("")
	if dir, name := f.tree.place(n); dir != nil {
		if prefix, ok := f.tree.key(dir); ok {
			f.names.Drop(prefix, name)
		}
	}
	f.work.Add(1)
	go func() { // the kernel waits for reads and writes under way, and these may wait for the caller's op
		defer f.work.Done()
		f.invalidate(n, 0)
	}()
}
