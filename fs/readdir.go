package fs

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/cache"
)

// OpenDir asks nothing yet.
func (f *FS) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := f.tree.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	out.Fh = f.handles.add(&dirHandle{dir: n})
	return fuse.OK
}

func (f *FS) ReleaseDir(in *fuse.ReleaseIn) {
	if d, ok := f.handles.remove(in.Fh).(*dirHandle); ok {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stop()
	}
}

// FsyncDir has nothing to do: what changes a directory is in the bucket when
// the call that did it returns, and unsaved files are their own fsync's.
func (f *FS) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	ctx := f.changing(cancel, in.Pid)
	defer ctx.end()
	n := f.tree.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	return f.status("fsync", f.tree.path(n), f.saveAttributes(ctx, n))
}

func (f *FS) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	ctx := f.asking(cancel, in.Pid)
	defer ctx.end()
	return f.readDir(ctx, in, func(dir *node, off uint64, name string, e entry, left time.Duration) bool {
		return out.AddDirEntry(fuse.DirEntry{Name: name, Mode: modeType(e.kind), Ino: f.numberOf(dir, name), Off: off})
	})
}

// maxTold is how many nodes may exist before listings stop introducing new
// ones to the kernel, which then asks for those it needs. It bounds what a walk
// over millions of names costs here.
const maxTold = 100_000

func (f *FS) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	ctx := f.asking(cancel, in.Pid)
	defer ctx.end()
	return f.readDir(ctx, in, func(dir *node, off uint64, name string, e entry, left time.Duration) bool {
		eo := out.AddDirLookupEntry(fuse.DirEntry{Name: name, Mode: modeType(e.kind), Ino: f.numberOf(dir, name), Off: off})
		if eo == nil {
			return false
		}
		if name == "." || name == ".." || f.tree.len() > maxTold {
			return true // a zero entry: the kernel takes the name only
		}
		if e, ok := f.still(dir, name, e); ok {
			f.entryOut(f.tree.learn(dir, name, e), e, left, eo)
		}
		return true
	})
}

// still tells what a name that was listed a while ago is now, as far as that is
// known here. Of one that is open or was removed only a lookup can say.
func (f *FS) still(dir *node, name string, e entry) (entry, bool) {
	f.tree.mu.Lock()
	n := dir.children[name]
	open := n != nil && n.file != nil
	prefix, ok := dir.keyLocked()
	f.tree.mu.Unlock()
	if open || !ok {
		return e, false
	}
	switch now, _, v := f.names.Lookup(prefix, name); v {
	case cache.Present:
		return now, true
	case cache.Absent:
		return e, false
	}
	return e, true
}

// numberOf is the inode number that a listing shows for a name.
func (f *FS) numberOf(dir *node, name string) uint64 {
	switch name {
	case ".":
		return dir.ino
	case "..":
		if up, _ := f.tree.place(dir); up != nil {
			return up.ino
		}
		return dir.ino
	}
	if n := f.tree.child(dir, name); n != nil {
		return n.ino
	}
	return inoOf(dir.ino, name)
}

// readDir feeds names from the offset on until the kernel's buffer is full.
// Offsets count names, "." and ".." first.
func (f *FS) readDir(ctx context.Context, in *fuse.ReadIn, add func(*node, uint64, string, entry, time.Duration) bool) fuse.Status {
	d := f.handles.dir(in.Fh)
	if d == nil {
		return fuse.EBADF
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if in.Offset == 0 && d.begun {
		d.rewind()
	}
	for at := in.Offset; ; at++ {
		if at < 2 {
			if !add(d.dir, at+1, []string{".", ".."}[at], entry{kind: kindDir}, 0) {
				return fuse.OK
			}
			continue
		}
		if int(at-2) < d.first {
			d.rewind() // somebody has gone back further than is held
		}
		for int(at-2) >= d.first+len(d.names) && !d.all {
			if err := f.more(ctx, d); err != nil {
				return f.status("readdir", f.tree.path(d.dir), err)
			}
		}
		if int(at-2) >= d.first+len(d.names) {
			return fuse.OK
		}
		e := d.names[int(at-2)-d.first]
		if e.Name != markerName && !add(d.dir, at+1, e.Name, e.Entry, d.left) {
			return fuse.OK
		}
	}
}

// more brings the next names. d.mu must be held.
func (f *FS) more(ctx context.Context, d *dirHandle) error {
	prefix, ok := f.tree.key(d.dir)
	if !ok {
		d.all = true // removed while open
		return nil
	}
	if !d.begun {
		known, err := f.known(ctx, d, prefix)
		if known || err != nil {
			return err
		}
		d.begun = true
		d.left = f.cfg.TTL
		d.listing = newListing(prefix, d.dir.lead)
		d.scan = f.names.Begin(prefix)
	}
	page, err := f.nextPage(ctx, d, prefix)
	if err != nil {
		d.begun = false // the next call begins again, rather than going on with a hole
		d.rewind()
		return err
	}
	from := len(d.listing.entries)
	d.listing.add(page)
	if d.token = page.Next; d.token != "" {
		d.readAhead(f, prefix)
		return f.posixAll(ctx, prefix, d.hold(d.listing.entries[from:]))
	}
	listed := d.listing.finish()
	if d.scan != nil {
		d.scan.Done(listed)
	}
	told := d.hold(listed[from:])
	d.scan, d.all = nil, true
	d.names = append(d.names, f.unsavedNames(d.dir, d.names, d.first > 0)...)
	return f.posixAll(ctx, prefix, told)
}

// known takes the names from what is remembered, after a listing of the whole
// walk that this is a part of, if it is one.
func (f *FS) known(ctx context.Context, d *dirHandle, prefix string) (bool, error) {
	names, left, ok := f.names.Dir(prefix)
	if !ok && f.cfg.TTL > 0 {
		if through := f.walks.note(f.tree, d.dir, f.cfg.Now()); through != nil {
			if err := f.listWalk(ctx, through, prefix); err != nil {
				return false, err
			}
			names, left, ok = f.names.Dir(prefix)
		}
	}
	if !ok {
		return false, nil
	}
	d.names, d.left, d.begun, d.all = append(f.unsavedNames(d.dir, names, false), names...), left, true, true
	return true, f.posixAll(ctx, prefix, d.names)
}

// unsavedNames are the names in a directory that no listing has yet. Where only a
// part of what was listed is held, they are those that the bucket never had.
func (f *FS) unsavedNames(dir *node, listed []cache.Named[entry], part bool) []cache.Named[entry] {
	var out []cache.Named[entry]
	holding := f.unsavedDirs()
	f.tree.mu.Lock()
	for name, n := range dir.children {
		if holding[n] && !part {
			out = append(out, cache.Named[entry]{Name: name, Entry: entry{kind: kindDir, part: n.part}})
		}
		if n.file != nil && n.file.unknown() && !(part && n.file.state().base.ETag != "") {
			out = append(out, cache.Named[entry]{Name: name, Entry: entry{kind: kindFile, part: n.part}})
		}
	}
	f.tree.mu.Unlock()
	if len(out) == 0 {
		return nil
	}
	has := make(map[string]bool, len(listed))
	for _, e := range listed {
		has[e.Name] = true
	}
	kept := out[:0]
	for _, e := range out {
		if !has[e.Name] {
			kept = append(kept, e)
		}
	}
	return kept
}

// posixParallel is how many HEADs a listing sends at once when metadata is to
// be read back.
const posixParallel = 64

// posixAll adds to each entry what its object's metadata says, in place.
func (f *FS) posixAll(ctx context.Context, prefix string, names []cache.Named[entry]) error {
	if !f.cfg.Posix {
		return nil
	}
	scan := f.names.Begin(prefix)
	defer scan.Cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(posixParallel)
	for i := range names {
		n := &names[i]
		if n.Name == markerName || !f.wantsPosix(n.Entry) || n.Entry.etag == "" && n.Entry.kind != kindDir {
			continue
		}
		g.Go(func() error {
			e, err := f.withPosix(ctx, prefix, n.Entry)
			if err == nil {
				n.Entry = e
				scan.Found(n.Name, e)
				return nil
			}
			return ctx.Err() // removed meanwhile, or not readable: the name stays, and lookup tells more
		})
	}
	return g.Wait()
}
