package fs

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// file is an open inode: who has it open, which version it is, and the bytes
// that are not in the bucket yet. It lives from the first open to the last
// release, and longer only while its unsaved bytes are on their way.
//
// op is held across requests: shared by reads and writes, exclusive by what
// changes which version the file is (open, truncate, commit, rename, unlink).
type file struct {
	fs   *FS
	node *node
	op   *opLock

	mu      sync.Mutex
	refs    int               // guarded by mu; handles, and operations on the way
	base    s3.Info           // guarded by mu; the version that clean bytes come from
	draft   *transfer.Draft   // guarded by mu; the unsaved content, nil when clean
	streams bool              // guarded by mu; the draft may send its bytes early
	touched bool              // guarded by mu; the draft was written to
	mode    writeMode         // guarded by mu; how the draft replaces what is in the bucket
	kept    map[string]string // guarded by mu; metadata of what the draft replaces
	sent    owned             // guarded by mu; what this mount did to the attributes, when the draft last asked for them
	mtime   time.Time         // guarded by mu; of the draft: the last write
	failed  error             // guarded by mu; why the last commit failed
	orphan  bool              // guarded by mu; unlinked: nothing is saved any more
	handles int               // guarded by mu; those that programs have not closed
	writers int               // guarded by mu; of these, the ones open for writing
	epoch   int               // guarded by mu; counts conflicts, each of which ends the handles before it
}

// writeMode is the condition under which a draft may be saved.
type writeMode int

const (
	writeOver  writeMode = iota // over exactly the version that was edited
	writeWhole                  // a whole new content: the last writer wins
	writeNew                    // O_EXCL, and without O_TRUNC: the name must be free
)

// opLock is a read-write lock whose waiters can be interrupted.
type opLock struct{ sem *semaphore.Weighted }

const opExclusive = 1 << 30

func newOpLock() *opLock { return &opLock{semaphore.NewWeighted(opExclusive)} }

func (l *opLock) share(ctx context.Context) error { return l.sem.Acquire(ctx, 1) }
func (l *opLock) unshare()                        { l.sem.Release(1) }
func (l *opLock) lock(ctx context.Context) error  { return l.sem.Acquire(ctx, opExclusive) }
func (l *opLock) unlock()                         { l.sem.Release(opExclusive) }

// acquire returns the node's file, made if need be, with one more reference.
func (f *FS) acquire(n *node) *file {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	if n.file == nil {
		n.file = &file{fs: f, node: n, op: newOpLock()}
	}
	n.file.mu.Lock()
	n.file.refs++
	n.file.mu.Unlock()
	return n.file
}

// opened is the node's file if somebody has it open, with one more reference.
func (f *FS) opened(n *node) *file {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	if n.file == nil {
		return nil
	}
	n.file.mu.Lock()
	n.file.refs++
	n.file.mu.Unlock()
	return n.file
}

// drop gives a reference back. With the last one the file is gone, and a draft
// with it that nobody is to save: the content of an unlinked file.
func (fl *file) drop() {
	t := fl.fs.tree
	t.mu.Lock()
	fl.mu.Lock()
	fl.refs--
	gone := fl.refs == 0
	fl.mu.Unlock()
	if gone {
		fl.node.file = nil
		t.dropLocked(fl.node)
	}
	t.mu.Unlock()
	if gone {
		fl.abandonLocked(context.Background())
	}
}

// state is a snapshot of what a file is.
type state struct {
	base   s3.Info
	draft  *transfer.Draft
	mtime  time.Time
	orphan bool
}

func (fl *file) state() state {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return state{fl.base, fl.draft, fl.mtime, fl.orphan}
}

// unsaved reports whether the file has bytes that are not in the bucket.
func (fl *file) unsaved() bool {
	s := fl.state()
	return s.draft != nil && s.draft.Dirty() && !s.orphan
}

// unknown reports whether what the file is now is not what requests have told:
// it is unsaved, or the draft published it by itself.
func (fl *file) unknown() bool {
	if fl.unsaved() {
		return true
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return fl.published() != nil
}

// begin makes the file's draft if it has none. fl.op must be held exclusively.
// What this mount did to the attributes of another version than the draft is an
// edit of does not become the draft's.
func (fl *file) begin(mode writeMode, sequential bool) *transfer.Draft {
	if s := fl.state(); mode == writeOver && s.draft == nil {
		fl.fs.disownOthers(fl.node, s.base.ETag)
	}
	key, named := fl.fs.tree.key(fl.node)
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.draft != nil {
		return fl.draft
	}
	if !named {
		key = fl.base.Key // where a recovery file of it belongs
	}
	var base *s3.Object
	if mode == writeOver {
		b := fl.base.Object
		base = &b
	}
	fl.draft = fl.fs.xfer.NewDraft(key, base, transfer.DraftOptions{Sequential: sequential})
	fl.draft.SetPublish(fl.publishing)
	fl.streams, fl.touched = sequential, false
	fl.mode, fl.kept, fl.mtime, fl.failed = mode, nil, fl.fs.cfg.Now(), nil
	fl.fs.unsaved.add(fl)
	return fl.draft
}

// beginWhole makes a draft of a whole new content. Where the mount shows what the
// metadata says, the file keeps its owner, mode and extended attributes.
// fl.op must be held exclusively.
func (fl *file) beginWhole(ctx context.Context, sequential bool) error {
	var kept map[string]string
	if fl.fs.cfg.Posix {
		info, _, err := fl.fs.stored(ctx, fl.node)
		if err != nil && !errors.Is(err, s3.ErrNotFound) {
			return err
		}
		kept = info.Metadata
		fl.fs.disownOthers(fl.node, info.ETag)
	}
	fl.node.timeIsNew()
	fl.begin(writeWhole, sequential)
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.kept = kept
	return nil
}

// rebase records that the clean content is another version now, as after a copy
// of the object onto another key.
func (fl *file) rebase(ctx context.Context, info s3.Info) error {
	fl.mu.Lock()
	fl.base = info
	d := fl.draft
	fl.mu.Unlock()
	if d == nil {
		return nil
	}
	return d.Rebase(ctx, info.Object)
}

// publishing is what a draft that sends its bytes early is to become.
func (fl *file) publishing() (key string, o s3.PutOptions) {
	key, ok := fl.fs.tree.key(fl.node)
	if !ok {
		return "", s3.PutOptions{} // refused: nothing may be written under a name that it has no more
	}
	own := fl.node.snapshot()
	fl.mu.Lock()
	fl.sent = own
	fl.mu.Unlock()
	return key, fl.putOptions(key, own)
}
