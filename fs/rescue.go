package fs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/transfer"
)

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

func (fl *file) rescueOptions(n *node) RescueOptions {
	key, _ := fl.fs.tree.key(n)
	o := fl.putOptions(key, n.snapshot())
	return RescueOptions{ContentType: o.ContentType, Metadata: o.Metadata, IfMatch: o.IfMatch, IfNoneMatch: o.IfNoneMatch}
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
