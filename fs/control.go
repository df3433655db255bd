package fs

import (
	"context"
	"encoding/json"
	"os"
	"syscall"
	"time"
)

// The commands talk to a running mount through extended attributes of its
// root: no socket to find or to guard, and who may ask is who may enter. All are
// read, never written, so that they work on a read-only mount too; no listing
// names them, so that nobody reads them by accident.
const (
	StatusXattr = xattrControl + "status" // a Status as JSON
	SyncXattr   = xattrControl + "sync"   // saves everything, and answers when it is
	ReloadXattr = xattrControl + "reload" // asks the source of the credentials again
)

// Status says how a mount is.
type Status struct {
	Source   string
	PID      int
	Began    time.Time
	ReadOnly bool
	Open     int // open files and directories
	Nodes    int // names that the kernel knows
	Unsaved  []UnsavedFile
	Pending  int       // files whose changed attributes wait to be written
	Failures []Failure // the last ones
	Recovery string    // the directory with what could not be saved
	Transfer any
	Names    any
	More     any `json:",omitempty"` // what the caller of New reports
}

// UnsavedFile is a file with bytes that are not in the bucket.
type UnsavedFile struct {
	Path string
	Size int64
	Why  string `json:",omitempty"` // the last save's error; none of a save that only was interrupted
}

// maxStatus is the size of an extended attribute at most (XATTR_SIZE_MAX), less
// something.
const maxStatus = 60 << 10

// encode makes JSON of a status, with fewer names where they are too long.
func (s Status) encode() ([]byte, error) {
	for {
		text, err := json.Marshal(s)
		if err != nil || len(text) <= maxStatus || len(s.Unsaved)+len(s.Failures) == 0 {
			return text, err
		}
		s.Unsaved, s.Failures = s.Unsaved[:len(s.Unsaved)/2], s.Failures[len(s.Failures)-len(s.Failures)/2:]
	}
}

// maxListed bounds the status: an extended attribute holds 64 KiB.
const maxListed = 100

// Status is what `cgs3fs status` shows.
func (f *FS) Status() Status {
	s := Status{
		Source:   f.cfg.FSName,
		PID:      os.Getpid(),
		Began:    f.began,
		ReadOnly: f.cfg.ReadOnly,
		Open:     f.handles.len(),
		Nodes:    f.tree.len(),
		Pending:  f.pending.len(),
		Failures: f.failures.list(),
		Recovery: f.cfg.RecoveryDir,
		Transfer: f.xfer.Stats(),
		Names:    f.names.Stats(),
	}
	if f.cfg.Report != nil {
		s.More = f.cfg.Report()
	}
	for _, fl := range f.unsaved.list() {
		s.Unsaved = append(s.Unsaved, fl.report())
	}
	for n, why := range f.pending.failed() {
		s.Unsaved = append(s.Unsaved, UnsavedFile{Path: f.tree.path(n), Why: why.Error()})
	}
	s.Unsaved = s.Unsaved[:min(len(s.Unsaved), maxListed)]
	return s
}

func (fl *file) report() UnsavedFile {
	u := UnsavedFile{Path: fl.fs.tree.path(fl.node)}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.draft != nil {
		u.Size = fl.draft.Size()
	}
	if fl.failed != nil && toErrno(fl.failed) != syscall.EINTR {
		u.Why = fl.failed.Error()
	}
	return u
}

func (f *FS) control(ctx context.Context, attr string) ([]byte, error) {
	switch attr {
	case StatusXattr:
		return f.Status().encode()
	case SyncXattr:
		return []byte("done"), f.Sync(ctx)
	case ReloadXattr:
		if f.cfg.Reload == nil {
			return nil, syscall.EOPNOTSUPP
		}
		return []byte("done"), f.cfg.Reload()
	}
	return nil, syscall.ENODATA
}
