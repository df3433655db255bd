package fs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/transfer"
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

// rescue keeps what could not be saved where `cgs3fs recover` finds it. The
// file is clean afterwards, and shows what the bucket has. fl.op must be held
// exclusively.
func (fl *file) rescue(cause error) {
	if fl.state().draft == nil {
		return
	}
	fl.mu.Lock()
	fl.epoch++ // all handles are stale, and none of them a writer any more: first of all, so that none finds nothing to save
	fl.writers = 0
	fl.mu.Unlock()
	d := fl.takeDraft()
	if cause == nil {
		cause = syscall.EIO
	}
	if err := fl.putAside(d, cause); err != nil {
		fl.fs.log.Error("unsaved data is lost", "path", fl.fs.tree.path(fl.node), "cause", cause, "err", err)
		if err := d.Discard(fl.fs.life); err != nil {
			fl.fs.log.Warn("discarding unsaved bytes", "err", err)
		}
	}
	fl.mu.Lock()
	fl.base, fl.failed = s3.Info{}, nil
	fl.mu.Unlock()
	fl.fs.forgetVersion(fl)
}

// putAside moves a draft to the recovery directory. Of an empty file that lost
// the race for its name, as lock files do, there is nothing to keep.
func (fl *file) putAside(d *transfer.Draft, cause error) error {
	f := fl.fs
	o := fl.rescueOptions(fl.node)
	if o.IfNoneMatch != "" && d.Size() == 0 && isConflict(cause) {
		return d.Discard(f.life)
	}
	if f.cfg.RecoveryDir == "" {
		return errors.New("there is no recovery directory")
	}
	path := f.tree.path(fl.node)
	name := fmt.Sprintf("%s-%d-%d", f.cfg.Now().UTC().Format("20060102T150405"), os.Getpid(), f.rescues.Add(1))
	key, named := f.tree.key(fl.node)
	if !named {
		key = "" // somebody else has the name now: the one that it had
	}
	err := d.Save(f.cfg.RecoveryDir, name, key, Rescued{Path: path, Source: f.cfg.FSName, Why: cause.Error(), Options: o})
	if err != nil {
		return err
	}
	f.rescued.add(filepath.Join(f.cfg.RecoveryDir, name+".json"))
	f.log.Error("could not be saved; the data is kept: see cgs3fs recover", "path", path, "kept", filepath.Join(f.cfg.RecoveryDir, name), "cause", cause)
	return nil
}

// tell makes the next open of the file fail with the error, because the close
// that should have could not.
func (n *node) tell(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = fmt.Errorf("the last save failed: %w", err)
}

// recovered is the sidecars of the files that went to the recovery directory.
type recovered struct {
	mu    sync.Mutex
	paths []string // guarded by mu
}

func (r *recovered) add(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, path)
}

// Rescued is how many files went to the recovery directory and are there still.
func (f *FS) Rescued() int {
	f.rescued.mu.Lock()
	defer f.rescued.mu.Unlock()
	f.rescued.paths = slices.DeleteFunc(f.rescued.paths, func(path string) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, os.ErrNotExist) // somebody took care of it
	})
	return len(f.rescued.paths)
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

// Rescued says in a recovery file's sidecar what the file was.
type Rescued struct {
	Path    string // below the mount
	Source  string // the bucket, as the mount shows it
	Why     string // the error
	Options RescueOptions
}

// RescueOptions are what the save would have written with the content.
type RescueOptions struct {
	ContentType string
	Metadata    map[string]string
	IfMatch     string // the version that was edited; empty for a whole new content
	IfNoneMatch string // "*": the name had to be free
}

func (fl *file) rescueOptions(n *node) RescueOptions {
	key, _ := fl.fs.tree.key(n)
	o := fl.putOptions(key, n.snapshot())
	return RescueOptions{ContentType: o.ContentType, Metadata: o.Metadata, IfMatch: o.IfMatch, IfNoneMatch: o.IfNoneMatch}
}

// failures are the last errors that programs saw, for Status.
type failures struct {
	mu   sync.Mutex
	last []Failure // guarded by mu; the newest at the end
}

// Failure is an error that a program saw.
type Failure struct {
	Time  time.Time
	Op    string // the system call
	Path  string // below the mount
	Errno string
	Cause string
	Times int // so often within a few seconds
}

const (
	keptFailures = 20
	sameFailure  = 10 * time.Second // a failure like the last one is not news for so long
)

// add keeps a failure and reports whether it is news.
func (f *failures) add(op, path string, errno syscall.Errno, cause error, now time.Time) (news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.last {
		if l := &f.last[i]; l.Op == op && l.Path == path && l.Errno == errno.Error() && now.Sub(l.Time) < sameFailure {
			l.Times++
			return false
		}
	}
	f.last = append(f.last, Failure{Time: now, Op: op, Path: path, Errno: errno.Error(), Cause: cause.Error(), Times: 1})
	if len(f.last) > keptFailures {
		f.last = f.last[1:]
	}
	return true
}

func (f *failures) list() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Failure(nil), f.last...)
}
