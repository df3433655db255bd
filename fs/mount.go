package fs

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	// maxRequest is the largest read or write that the kernel sends: 256 pages.
	maxRequest = 1 << 20

	// maxBackground is how many reads of read-ahead the kernel has in flight.
	maxBackground = 64

	// readAhead is asked of the kernel after mounting, where we may (root): with
	// its own 128 KiB every read would be a request of that size.
	readAhead = 1 << 20

	// inflight bounds go-fuse's own buffers, which hold writes on their way in.
	inflight = 32 << 20
)

// capabilities asked for beyond go-fuse's own: O_TRUNC with the open instead
// of a SETATTR before it, and the clearing of setuid bits left to us, which
// saves the kernel a request for security.capability at every write.
const (
	capKillprivV2 = 1 << 28
	capabilities  = fuse.CAP_ATOMIC_O_TRUNC | capKillprivV2
)

// Mounted is a file system that the kernel uses.
type Mounted struct {
	fs  *FS
	dir string
}

// Mount attaches the file system at a directory and returns when it answers.
func Mount(f *FS, dir string) (*Mounted, error) {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		f.dir = real
	}
	server, err := fuse.NewServer(f, dir, f.options())
	if err != nil {
		return nil, fmt.Errorf("mounting at %s: %w", dir, err)
	}
	f.server = server
	// Not WaitMount: NewServer has answered the kernel already, and WaitMount opens
	// a file in the mount. A process that is killed just then closes that file
	// before it closes /dev/fuse, waits for its own answer, and never ends.
	go server.Serve()
	raiseReadAhead(dir, f.log)
	return &Mounted{f, dir}, nil
}

func (f *FS) options() *fuse.MountOptions {
	o := &fuse.MountOptions{
		AllowOther:               f.cfg.AllowOther,
		MaxBackground:            maxBackground,
		MaxWrite:                 maxRequest,
		MaxReadAhead:             maxRequest,
		MaxInflightRequestBytes:  inflight,
		FsName:                   f.cfg.FSName,
		Name:                     "cgs3fs",
		DirectMount:              os.Geteuid() == 0,
		DisableSplice:            true, // replies are bytes in memory
		ExplicitDataCacheControl: true, // each open says whether the pages are still right
		EnableSymlinkCaching:     true,
		ExtraCapabilities:        capabilities,
		Options:                  append([]string{"default_permissions"}, f.cfg.Options...),
		Logger:                   log.New(&logWriter{f.log}, "", 0),
		PanicHandler:             f.crash,
	}
	if f.cfg.ReadOnly {
		o.Options = append(o.Options, "ro")
	}
	return o
}

// crash ends the process. go-fuse would go on, but a panic leaves locks held and books
// half kept: others would wait for ever, or save what nobody wrote. What close has
// acknowledged is in the bucket, and the next mount heals the directory.
func (f *FS) crash(reason any) fuse.Status {
	f.log.Error("this is a bug of the program, which ends", "panic", reason, "stack", string(debug.Stack()))
	panic(reason)
}

// logWriter takes go-fuse's own lines.
type logWriter struct{ log *slog.Logger }

func (w *logWriter) Write(p []byte) (int, error) {
	w.log.Warn("fuse: " + string(p[:max(0, len(p)-1)]))
	return len(p), nil
}

// raiseReadAhead lets the kernel read ahead a whole request. It needs root and
// does without where it can't.
func raiseReadAhead(dir string, log *slog.Logger) {
	name, err := deviceOf(dir)
	if err != nil {
		return
	}
	path := filepath.Join("/sys/class/bdi", name, "read_ahead_kb")
	if err := os.WriteFile(path, []byte(fmt.Sprint(readAhead>>10)), 0); err != nil {
		log.Debug("the kernel's read-ahead stays as it is", "err", err)
	}
}

// invalidate makes the kernel forget the node's attributes, and its pages from
// off on; with off -1 only the attributes.
func (f *FS) invalidate(n *node, off int64) {
	if f.server != nil { // nobody to tell before Mount
		f.server.InodeNotify(n.id, off, 0)
	}
}

// Wait returns when the file system is unmounted, by whomever, and everything
// that could be saved is.
func (m *Mounted) Wait() {
	m.fs.server.Wait()
	m.fs.finish()
}

// End is Wait for a mount that was detached while programs still use it: it
// saves what there is now, and what they do from then on fails.
func (m *Mounted) End() { m.fs.finish() }

// shutdownWait is how long an unmount from outside keeps trying to save what
// is left, before it goes to the recovery directory.
const shutdownWait = 30 * time.Second

// finish saves what is left after the kernel has let go.
func (f *FS) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	if err := f.Sync(ctx); err != nil {
		f.log.Error("saving at unmount", "err", err)
	}
	f.end() // whatever still holds a file's op gives it up
	for _, fl := range f.unsaved.list() {
		fl.rescueLast()
	}
	f.work.Wait()
	f.handles.closeAll()
}

// lastWait is how long a file's last operation may take to end when the mount
// has.
const lastWait = 30 * time.Second

// rescueLast keeps what is still unsaved when no more is going to be saved.
func (fl *file) rescueLast() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWait)
	defer cancel()
	if err := fl.op.lock(ctx); err != nil {
		fl.fs.log.Error("unsaved data is lost: the file is in use", "path", fl.fs.tree.path(fl.node))
		return
	}
	defer fl.op.unlock()
	if fl.unsaved() {
		fl.mu.Lock()
		cause := fl.failed
		fl.mu.Unlock()
		fl.rescue(cause)
	}
}

// closeAll ends the handles that the kernel did not release, as after a forced
// unmount.
func (h *handles) closeAll() {
	h.mu.Lock()
	left := h.byID
	h.byID = map[uint64]any{}
	h.mu.Unlock()
	for _, v := range left {
		switch v := v.(type) {
		case *handle:
			v.closeReader()
			v.file.drop()
		case *dirHandle:
			v.mu.Lock()
			v.stop()
			v.mu.Unlock()
		}
	}
}

// Unmount detaches the file system. It fails while somebody uses it (EBUSY).
func (m *Mounted) Unmount() error { return m.fs.server.Unmount() }
