package fs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// One system call each, with what it must and may do.

func deletion(key string) []s3.Target { return []s3.Target{{Key: key}} }

func (w *simWorld) state(mount int, n *simInode) *simState {
	if n == nil {
		return nil
	}
	return w.states[simKey{mount, n.id}]
}

func (w *simWorld) open(op simOp) string {
	if w.slots[op.slot] != nil {
		return ""
	}
	k := w.mounts[op.mount].k
	is := w.hasFile(op.mount, op.path)
	var file *simFile
	errno := w.call(op.mount, func() (errno syscall.Errno) {
		file, errno = k.open(op.path, op.flags)
		return errno
	})
	m := w.published(may{}, op.mount)
	if w.atOpen && op.flags&syscall.O_EXCL != 0 {
		m.hold(op.path, "")
	}
	if p := w.frame(m); p != "" {
		return p
	}
	if errno != 0 {
		return w.openFailed(op, is, errno)
	}
	if op.flags&syscall.O_EXCL != 0 && is == yes || op.flags&syscall.O_CREAT == 0 && is == no {
		return wrong("open", errno, "%q was there: %v", op.path, is)
	}
	fd, problem := w.opened(op, file)
	w.slots[op.slot] = fd
	return problem
}

func (w *simWorld) openFailed(op simOp, is tri, errno syscall.Errno) string {
	if w.fired {
		return ""
	}
	for _, st := range w.states {
		if st.mount == op.mount && st.key == op.path && (st.badWrite || st.loose || st.dirty && st.conflict(held(w.bucket, st.key))) {
			return ""
		}
	}
	dir := w.hasDir(op.mount, parentOf(op.path))
	switch {
	case errno == syscall.ENOENT && (op.flags&syscall.O_CREAT == 0 && is != yes || dir != yes):
		return ""
	case errno == syscall.EEXIST && op.flags&syscall.O_EXCL != 0 && is != no:
		return ""
	case errno == syscall.ESTALE && is == maybe:
		return "" // the kernel looks again once only: it was replaced, and then it was gone
	}
	return wrong("open", errno, "%q was there: %v", op.path, is)
}

// opened brings the model up to date with a successful open and checks that
// it has the content of now.
func (w *simWorld) opened(op simOp, file *simFile) (*simFD, string) {
	now := held(w.bucket, op.path)
	id := simKey{op.mount, file.inode.id}
	st := w.states[id]
	problem := ""
	if st == nil || st.refs == 0 && !st.dirty {
		st = &simState{mount: op.mount, id: file.inode.id, key: op.path}
		w.states[id] = st
		switch {
		case file.created:
			st.mode, st.drafted, st.dirty = writeWhole, true, true
			if op.flags&syscall.O_EXCL != 0 || op.flags&syscall.O_TRUNC == 0 {
				st.mode = writeNew
			}
			if w.atOpen && op.flags&syscall.O_EXCL != 0 {
				problem = w.saveResult("open", st, 0)
			}
		case op.flags&syscall.O_TRUNC != 0:
		case now == absent:
			problem = wrong("open", 0, "%q is not there", op.path)
		default:
			st.content = now
		}
	} else if !st.dirty && op.flags&syscall.O_TRUNC == 0 && st.content != now {
		problem = wrong("open", 0, "%q holds %s and the open file is %s", op.path, brief(now), brief(st.content))
	}
	if problem == "" {
		problem = w.mustBeUnsaved(op, st)
	}
	if op.flags&syscall.O_TRUNC != 0 && !file.created {
		if !st.drafted {
			st.mode, st.drafted = writeWhole, true
		}
		w.notePublished(st, st.content)
		st.maybeSaved = st.drafted && !st.dirty && st.content == "" // nothing to do
		st.content, st.dirty = "", true
	}
	st.refs++
	if op.flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		st.writers++
	}
	return &simFD{file, st}, problem
}

// mustBeUnsaved checks that an open finds what the mount itself wrote.
func (w *simWorld) mustBeUnsaved(op simOp, opened *simState) string {
	for _, st := range w.unsavedAt(op.mount, op.path) {
		if st != opened && !st.conflict(held(w.bucket, op.path)) && !st.replaced && !st.loose && !st.maybeSaved && !opened.dirty {
			return wrong("open", 0, "%q has unsaved content %s, and another file was opened", op.path, brief(st.content))
		}
	}
	return ""
}

func (w *simWorld) write(op simOp, fd *simFD) string {
	if fd.file.flags&syscall.O_ACCMODE == syscall.O_RDONLY {
		return ""
	}
	st, data, off := fd.st, w.bytes(max(op.size, 1)), op.off
	if fd.file.flags&syscall.O_APPEND != 0 {
		off = len(st.content)
	}
	errno := w.call(st.mount, func() syscall.Errno { return fd.file.write(data, op.off) })
	if st.dead {
		return w.stale("write", errno)
	}
	if p := w.frame(w.published(may{}, st.mount)); p != "" {
		return p
	}
	return w.edited("write", st, errno, splice(st.content, data, off))
}

func (w *simWorld) ftruncate(op simOp, fd *simFD) string {
	if fd.file.flags&syscall.O_ACCMODE == syscall.O_RDONLY {
		return ""
	}
	st := fd.st
	errno := w.call(st.mount, func() syscall.Errno { return fd.file.truncate(op.size) })
	if st.dead {
		return w.stale("ftruncate", errno)
	}
	if p := w.frame(w.published(may{}, st.mount)); p != "" {
		return p
	}
	return w.edited("ftruncate", st, errno, resize(st.content, op.size))
}

// edited checks a call that changed an open file's content.
func (w *simWorld) edited(call string, st *simState, errno syscall.Errno, content string) string {
	w.notePublished(st, st.content)
	if errno == 0 {
		same := !st.dirty && st.content == content
		st.edit(content)
		st.maybeSaved = same // nothing was changed, so that nothing need be saved
		return ""
	}
	if w.fired || st.badWrite || st.badRead || st.loose {
		return ""
	}
	now := held(w.bucket, st.key)
	if !st.dirty && now != st.content || st.dirty && st.conflict(now) {
		return ""
	}
	return wrong(call, errno, "nothing had failed")
}

func (w *simWorld) read(op simOp, fd *simFD) string {
	if fd.file.flags&syscall.O_ACCMODE == syscall.O_WRONLY {
		return ""
	}
	st, got := fd.st, ""
	errno := w.call(st.mount, func() (errno syscall.Errno) {
		got, errno = fd.file.read(op.off, op.size)
		return errno
	})
	if st.dead {
		return w.stale("read", errno)
	}
	if p := w.frame(w.published(may{}, st.mount)); p != "" {
		return p
	}
	w.notePublished(st, st.content)
	if errno == 0 {
		off := min(op.off, len(st.content))
		if want := st.content[off:min(off+op.size, len(st.content))]; got != want {
			return wrong("read", 0, "of %d bytes at %d of %q: %s instead of %s", op.size, op.off, st.key, brief(got), brief(want))
		}
		return ""
	}
	now := held(w.bucket, st.key)
	if w.fired || st.badRead || st.loose || st.replaced || st.dirty && st.conflict(now) || !st.dirty && now != st.content {
		return ""
	}
	return wrong("read", errno, "nothing had failed")
}

func (w *simWorld) fsync(op simOp, fd *simFD) string {
	st := fd.st
	errno := w.call(st.mount, func() syscall.Errno { return fd.file.fsync() })
	if st.dead {
		return w.stale("fsync", errno)
	}
	m := may{}
	if st.dirty && !st.orphan {
		m.hold(st.key, st.content)
	}
	if p := w.frame(m); p != "" {
		return p
	}
	if st.dirty && !st.orphan {
		return w.saveResult("fsync", st, errno)
	}
	if errno != 0 && !w.fired && !(st.orphan && st.badRead) {
		return wrong("fsync", errno, "nothing was to be saved")
	}
	return ""
}

func (w *simWorld) close(op simOp, fd *simFD) string {
	st := fd.st
	w.slots[op.slot] = nil
	errno := w.call(st.mount, func() syscall.Errno { return fd.file.close() })
	st.refs--
	writer := fd.file.flags&syscall.O_ACCMODE != syscall.O_RDONLY
	if writer {
		st.writers--
	}
	problem := ""
	switch {
	case st.orphan && st.badRead && errno == syscall.ESTALE: // it could not be kept
		problem = w.frame(nil)
	case st.dead && writer:
		if problem = w.frame(nil); problem == "" && errno != syscall.ESTALE {
			problem = wrong("close", errno, "what was written went to the recovery directory: it should be ESTALE")
		}
	case writer && st.dirty && !st.orphan:
		if problem = w.frame(may{}.hold(st.key, st.content)); problem == "" {
			problem = w.saveResult("close", st, errno)
		}
		if problem == "" && st.dirty && st.writers == 0 {
			problem = fmt.Sprintf("close failed with %s, and %q is neither in the bucket nor in the recovery directory", errno, st.key)
		}
	default:
		if problem = w.frame(nil); problem == "" && errno != 0 {
			problem = wrong("close", errno, "nothing was to be saved")
		}
	}
	if st.writers == 0 {
		st.drafted = false
	}
	if st.refs == 0 && !st.dead {
		delete(w.states, simKey{st.mount, st.id})
	}
	return problem
}

// stale checks a call on a descriptor whose unsaved content was put aside.
func (w *simWorld) stale(call string, errno syscall.Errno) string {
	if errno != syscall.ESTALE {
		return wrong(call, errno, "it should be ESTALE")
	}
	return w.frame(nil)
}

// cat reads a whole file through a descriptor of its own.
func (w *simWorld) cat(op simOp) string {
	slot := op.slot
	op.flags = syscall.O_RDONLY
	kept := w.slots[slot]
	w.slots[slot] = nil
	defer func() { w.slots[slot] = kept }()
	if problem := w.open(op); problem != "" || w.slots[slot] == nil {
		return problem
	}
	fd := w.slots[slot]
	w.bucket = w.after
	op.off, op.size = 0, len(fd.st.content)+10
	if problem := w.read(op, fd); problem != "" {
		return problem
	}
	w.bucket = w.after
	return w.close(op, fd)
}

// copy is what cp does with a large file, through descriptors of its own.
func (w *simWorld) copy(op simOp) string {
	if op.path == op.to {
		return ""
	}
	kept := slices.Clone(w.slots)
	defer func() { copy(w.slots, kept) }()
	source, target := op, op
	source.flags, target.flags = syscall.O_RDONLY, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC
	source.slot, target.slot, target.path = 0, 1, op.to
	w.slots[0], w.slots[1] = nil, nil
	if problem := w.open(source); problem != "" || w.slots[0] == nil {
		return problem
	}
	from := w.slots[0]
	w.bucket = w.after
	problem := w.open(target)
	if to := w.slots[1]; problem == "" && to != nil {
		w.bucket = w.after
		if problem = w.copyRange(from, to); problem == "" {
			w.bucket = w.after
			problem = w.close(target, to)
		}
	}
	if problem != "" {
		return problem
	}
	w.bucket = w.after
	return w.close(source, from)
}

func (w *simWorld) copyRange(from, to *simFD) string {
	st, content := to.st, from.st.content
	errno := w.call(st.mount, func() syscall.Errno { return to.file.copyRange(from.file) })
	if p := w.frame(w.published(may{}, st.mount).hold(st.key, content)); p != "" {
		return p
	}
	is := held(w.after, st.key)
	switch {
	case errno == 0 && is != content:
		return wrong("copy_file_range", 0, "%q should hold %s and holds %s", st.key, brief(content), brief(is))
	case errno == 0 && st.conflict(held(w.bucket, st.key)) && !st.maybeSaved && !st.loose:
		return wrong("copy_file_range", 0, "%q was changed to %s meanwhile", st.key, brief(held(w.bucket, st.key)))
	case errno == 0:
		st.content, st.drafted = content, true
		st.wasSaved()
		return ""
	}
	if is == content && is != held(w.bucket, st.key) {
		st.loose = true // it was applied all the same
	}
	if errno != syscall.EOPNOTSUPP && !w.fired && !st.conflict(held(w.bucket, st.key)) && !st.replaced && !st.badWrite && !st.maybeSaved && !st.loose {
		return wrong("copy_file_range", errno, "nothing had failed")
	}
	return ""
}

func (w *simWorld) truncate(op simOp) string {
	is := w.hasFile(op.mount, op.path)
	var n *simInode
	errno := w.call(op.mount, func() (errno syscall.Errno) {
		n, errno = w.mounts[op.mount].k.truncate(op.path, op.size)
		return errno
	})
	st := w.state(op.mount, n)
	was, is2 := held(w.bucket, op.path), held(w.after, op.path)
	content := absent
	if was != absent {
		content = resize(was, op.size)
	}
	if st != nil && (st.writers > 0 || st.dirty) {
		if p := w.frame(w.published(may{}, op.mount)); p != "" {
			return p
		}
		if errno == 0 && !st.dirty && st.content != was && !w.forgetful(op.mount, op.path) {
			return wrong("truncate", 0, "%q holds %s and the open file is %s", op.path, brief(was), brief(st.content))
		}
		return w.edited("truncate", st, errno, resize(st.content, op.size))
	}
	if p := w.frame(may{}.hold(op.path, content)); p != "" {
		return p
	}
	if errno == 0 && is2 != content {
		return wrong("truncate", 0, "%q should hold %s and holds %s", op.path, brief(content), brief(is2))
	}
	if errno == 0 && st != nil {
		st.content = content
	}
	return w.expect("truncate", errno, is, yes, syscall.ENOENT)
}

func (w *simWorld) touch(op simOp) string {
	if len(w.mounts) > 1 {
		return "" // writing the time makes a new version of the same content: a conflict for the other mount
	}
	is := w.hasFile(op.mount, op.path)
	errno := w.call(op.mount, func() syscall.Errno { return w.mounts[op.mount].k.utimes(op.path, op.size) })
	if p := w.frame(nil); p != "" {
		return p
	}
	return w.expect("utimes", errno, is, yes, syscall.ENOENT)
}

func (w *simWorld) stat(op simOp) string {
	is := w.hasFile(op.mount, op.path)
	var size uint64
	errno := w.call(op.mount, func() syscall.Errno {
		a, errno := w.mounts[op.mount].k.stat(op.path)
		size = a.Size
		return errno
	})
	if p := w.frame(nil); p != "" {
		return p
	}
	if errno == 0 && is == yes {
		want := held(w.bucket, op.path)
		for _, st := range w.unsavedAt(op.mount, op.path) {
			if int(size) == len(st.content) || st.conflict(want) || st.replaced || st.loose || st.maybeSaved {
				return ""
			}
			want = st.content
		}
		if int(size) != len(want) {
			return wrong("stat", 0, "%q has %d bytes, not %d", op.path, len(want), size)
		}
	}
	return w.expect("stat", errno, is, yes, syscall.ENOENT)
}

// list checks that a directory shows every name, or fails.
func (w *simWorld) list(op simOp) string {
	dir := w.hasDir(op.mount, op.path)
	var got map[string]uint32
	errno := w.call(op.mount, func() (errno syscall.Errno) {
		got, errno = w.mounts[op.mount].k.list(op.path)
		return errno
	})
	if p := w.frame(nil); p != "" {
		return p
	}
	if errno != 0 || dir != yes {
		return w.expect("readdir", errno, dir, yes, syscall.ENOENT)
	}
	for _, name := range simNames(op.path) {
		is := no
		if simIsDir(name) {
			is = w.hasDir(op.mount, name)
		} else {
			is = w.hasFile(op.mount, name)
		}
		_, shown := got[strings.TrimPrefix(strings.TrimPrefix(name, op.path), "/")]
		if is == yes && !shown || is == no && shown {
			return wrong("readdir", 0, "%q is there: %v, shown: %v", name, is, shown)
		}
	}
	return ""
}

// stays checks that a directory does not vanish with its last name.
func (w *simWorld) stays(call string, mount int, path string) string {
	if dir := parentOf(path); dir != "" && !w.forgetful(mount, path) && !w.forgetful(mount, dir) && len(under(w.after, dir)) == 0 && len(under(w.bucket, dir)) > 0 {
		return wrong(call, 0, "directory %q is gone", dir)
	}
	return ""
}

// orphan notes that a file that is open has lost its name. Its content stays, if
// it could be had at that moment.
func (w *simWorld) orphan(st *simState) {
	now := held(w.bucket, st.key)
	if w.fired || !st.dirty && now != st.content || st.dirty && st.conflict(now) {
		st.badRead = true
	}
	st.orphan = true
}

// stopIfReplaced ends the history if a file loses a name that it may have lost
// before, to somebody else: what becomes of it then can't be told.
func (w *simWorld) stopIfReplaced(mount int, key string, not *simState) {
	for _, st := range w.states {
		w.stop = w.stop || st != not && st.mount == mount && st.key == key && st.replaced
	}
}

func (w *simWorld) unlink(op simOp) string {
	is := w.hasFile(op.mount, op.path)
	var n *simInode
	errno := w.call(op.mount, func() (errno syscall.Errno) {
		n, errno = w.mounts[op.mount].k.unlink(op.path)
		return errno
	})
	m := may{}.hold(op.path, absent).marker(op.path)
	w.keptFrame(m, op.mount, op.path)
	if p := w.frame(m); p != "" {
		return p
	}
	if errno == 0 {
		if held(w.after, op.path) != absent {
			return wrong("unlink", 0, "%q is still there", op.path)
		}
		w.stopIfReplaced(op.mount, op.path, nil)
		if st := w.state(op.mount, n); st != nil {
			w.orphan(st)
		}
		if p := w.stays("unlink", op.mount, op.path); p != "" {
			return p
		}
	}
	for _, st := range w.states {
		if errno != 0 && w.fired && st.mount == op.mount && st.key == op.path && held(w.after, op.path) == absent {
			st.loose = true // it was removed all the same, perhaps after it was saved so that it can be kept
		}
	}
	return w.expect("unlink", errno, is, yes, syscall.ENOENT)
}

// keptFrame allows that an open file which is to lose its name was saved so that
// its content can be kept.
func (w *simWorld) keptFrame(m may, mount int, key string) {
	for _, o := range w.states {
		if o.mount == mount && o.key == key && o.dirty && !o.orphan {
			m.hold(key, o.content)
			w.notePublished(o, o.content)
		}
	}
}

func (w *simWorld) rename(op simOp) string {
	is, forgetful := w.hasFile(op.mount, op.path), w.forgetful(op.mount, op.path)
	var n, replaced *simInode
	errno := w.call(op.mount, func() (errno syscall.Errno) {
		n, replaced, errno = w.mounts[op.mount].k.rename(op.path, op.to)
		return errno
	})
	if w.rescued > 0 { // the kernel then tries again, with what is there
		w.dieOf(syscall.ESTALE, func(st *simState) bool { return st.mount == op.mount && st.key == op.path })
	}
	st := w.state(op.mount, n)
	content := held(w.bucket, op.path)
	if st != nil && st.dirty && !(st.replaced && content != absent && held(w.after, op.to) == content) {
		content = st.content
	}
	m := may{}.marker(op.path).hold(op.path, content).hold(op.to, content)
	w.keptFrame(m, op.mount, op.to)
	moved := held(w.after, op.to) == content && content != absent
	if moved && op.path != op.to {
		m.hold(op.path, absent)
	}
	if p := w.frame(m); p != "" {
		return p
	}
	if errno != 0 {
		w.foreign[op.mount][op.to] = time.Now() // the kernel knows no better until its entries expire
		if st != nil && st.dirty && (held(w.after, st.key) == st.content || held(w.after, op.to) == st.content) {
			st.perhapsSaved()
		}
		for _, o := range w.states {
			if w.fired && o.mount == op.mount && o.key == op.to && o.dirty && !o.orphan && held(w.after, op.to) == content {
				o.perhapsSaved() // before the copy took its place, which only lacks that the source goes
			}
		}
		if errno == syscall.ESTALE && forgetful {
			return "" // the open file is an older version, and the name not asked for anew
		}
		if st != nil && st.dirty && w.lostRace(st, errno) {
			return ""
		}
		if w.rescued > 0 {
			return ""
		}
		if st != nil && st.dirty && (st.conflict(held(w.bucket, op.path)) || st.replaced || st.badWrite || st.loose || st.maybeSaved) || w.hasDir(op.mount, parentOf(op.to)) != yes {
			return ""
		}
		return w.expect("rename", errno, is, yes, syscall.ENOENT)
	}
	if op.path == op.to {
		return ""
	}
	if op.fault != (simFault{}) && content == absent && held(w.bucket, op.to) != absent {
		return "" // somebody else did the same: whose copy it is goes by the content, once an attempt has failed
	}
	if op.fault != (simFault{}) && forgetful && held(w.bucket, op.to) != absent && held(w.after, op.to) == held(w.bucket, op.to) {
		content = held(w.after, op.to) // nor did it differ from the version of the source that the mount knew
	} else if !moved || held(w.after, op.path) != absent {
		return wrong("rename", 0, "%q holds %s and %q %s, not %s", op.path, brief(held(w.after, op.path)), op.to, brief(held(w.after, op.to)), brief(content))
	}
	if st != nil && (st.dirty || st.content == content) { // one in an older version has lost the name before
		st.key = op.to
		if st.dirty {
			if st.conflict(held(w.bucket, op.path)) && !st.loose && !st.maybeSaved {
				return wrong("rename", 0, "%q was changed meanwhile", op.path)
			}
			st.wasSaved()
		} else {
			st.bases = []string{content}
		}
	}
	w.stopIfReplaced(op.mount, op.to, st)
	if o := w.state(op.mount, replaced); o != nil && o != st {
		w.orphan(o)
	}
	if p := w.stays("rename", op.mount, op.path); p != "" {
		return p
	}
	return w.expect("rename", errno, is, yes, syscall.ENOENT)
}

func (w *simWorld) mkdir(op simOp) string {
	is := w.hasDir(op.mount, op.path)
	parent := w.hasDir(op.mount, parentOf(op.path))
	errno := w.call(op.mount, func() syscall.Errno { return w.mounts[op.mount].k.mkdir(op.path) })
	if p := w.frame(may{}.hold(op.path+"/", "")); p != "" {
		return p
	}
	if errno == 0 && held(w.after, op.path+"/") == absent {
		return wrong("mkdir", 0, "there is no marker")
	}
	if errno == syscall.ENOENT && parent != yes {
		return ""
	}
	return w.expect("mkdir", errno, is, no, syscall.EEXIST)
}

func (w *simWorld) rmdir(op simOp) string {
	is := w.hasDir(op.mount, op.path)
	full := no
	for _, key := range under(w.bucket, op.path) {
		if key != op.path+"/" {
			full = yes
		}
	}
	for _, st := range w.states {
		if st.mount == op.mount && st.dirty && !st.orphan && strings.HasPrefix(st.key, op.path+"/") {
			full = max(full, maybe)
			if !st.conflict(held(w.bucket, st.key)) && !st.replaced && !st.loose && !st.maybeSaved {
				full = yes
			}
		}
	}
	errno := w.call(op.mount, func() syscall.Errno { return w.mounts[op.mount].k.rmdir(op.path) })
	if p := w.frame(may{}.hold(op.path+"/", absent).marker(op.path)); p != "" {
		return p
	}
	switch {
	case errno == 0 && full == yes:
		return wrong("rmdir", 0, "%q was not empty", op.path)
	case errno == 0 && len(under(w.after, op.path)) > 0:
		return wrong("rmdir", 0, "%q is still there", op.path)
	case errno == syscall.ENOTEMPTY && full != no:
		return ""
	}
	if p := w.stays("rmdir", op.mount, op.path); errno == 0 && p != "" {
		return p
	}
	return w.expect("rmdir", errno, is, yes, syscall.ENOENT)
}

// renameDir checks that every object below is under one of the names, and only
// under the new one if the call has succeeded.
func (w *simWorld) renameDir(op simOp) string {
	is := w.hasDir(op.mount, op.path)
	moving := map[string]string{}
	for _, key := range under(w.bucket, op.path) {
		moving[key] = w.bucket[key]
	}
	excuse := false
	for _, st := range w.states {
		if st.mount == op.mount && st.dirty && !st.orphan && strings.HasPrefix(st.key, op.path+"/") {
			if st.conflict(held(w.bucket, st.key)) || st.replaced || st.badWrite || st.loose || st.maybeSaved {
				excuse = true
				continue
			}
			moving[st.key] = st.content
		}
	}
	full := no
	for _, key := range under(w.bucket, op.to) {
		if key != op.to+"/" {
			full = yes
		}
	}
	for _, st := range w.states {
		if st.mount == op.mount && st.dirty && !st.orphan && strings.HasPrefix(st.key, op.to+"/") {
			full = max(full, maybe)
		}
	}
	errno := w.call(op.mount, func() syscall.Errno {
		_, _, errno := w.mounts[op.mount].k.rename(op.path, op.to)
		return errno
	})
	if errno == 0 && op.path == op.to {
		return w.frame(nil)
	}
	if errno != 0 || w.rescued > 0 {
		w.dieOf(syscall.ESTALE, func(st *simState) bool { return st.mount == op.mount && strings.HasPrefix(st.key, op.path+"/") })
	}
	for _, st := range w.states {
		if st.mount == op.mount && st.dirty && !st.orphan && strings.HasPrefix(st.key, op.path+"/") && held(w.after, op.to+st.key[len(op.path):]) == st.content {
			moving[st.key] = st.content // it was in doubt, and has been saved now
		}
	}
	if p := w.movedFrame(op, moving); p != "" {
		return p
	}
	if errno != 0 {
		w.foreign[op.mount][op.to] = time.Now() // the kernel knows no better until its entries expire
		w.markSaved(op, moving)
		switch {
		case excuse, errno == syscall.ENOTEMPTY && full != no, errno == syscall.EINVAL && strings.HasPrefix(op.to, op.path+"/"),
			errno == syscall.ENOTEMPTY && strings.HasPrefix(op.path, op.to+"/"), errno == syscall.ENOENT && w.hasDir(op.mount, parentOf(op.to)) != yes:
			return ""
		}
		return w.expect("rename", errno, is, yes, syscall.ENOENT)
	}
	if full == yes {
		return wrong("rename", 0, "%q was not empty", op.to)
	}
	for name := range maps.Clone(w.foreign[op.mount]) {
		if strings.HasPrefix(name, op.path+"/") {
			w.foreign[op.mount][op.to+name[len(op.path):]] = time.Now() // what the kernel knows of a name moves along
		}
	}
	for key, content := range moving {
		to := op.to + key[len(op.path):]
		if held(w.after, to) != content || held(w.after, key) != absent {
			return wrong("rename", 0, "%q holds %s and %q %s, not %s", key, brief(held(w.after, key)), to, brief(held(w.after, to)), brief(content))
		}
	}
	for _, st := range w.states {
		if st.mount != op.mount || st.orphan || !strings.HasPrefix(st.key, op.path+"/") {
			continue
		}
		if st.dirty && st.conflict(held(w.bucket, st.key)) && !st.loose && !st.maybeSaved {
			continue // it has lost the name to somebody else's version, which is what moved
		}
		if !st.dirty && moving[st.key] != st.content {
			st.alias = st.key // an older version, which may have lost the name before
		}
		if content, ok := moving[st.key]; ok && st.dirty && content == st.content {
			st.wasSaved()
		}
		st.key = op.to + st.key[len(op.path):]
	}
	if p := w.stays("rename", op.mount, op.path); p != "" {
		return p
	}
	return w.expect("rename", errno, is, yes, syscall.ENOENT)
}

// movedFrame allows what a rename of a directory may leave, whether it
// succeeds or not.
func (w *simWorld) movedFrame(op simOp, moving map[string]string) string {
	m := may{}.marker(op.path)
	for _, st := range w.states {
		if st.mount == op.mount && st.dirty && !st.orphan && strings.HasPrefix(st.key, op.path+"/") {
			m.hold(st.key, st.content)
		}
	}
	for key, content := range moving {
		to := op.to + key[len(op.path):]
		m.hold(key, content).hold(to, content)
		if held(w.after, to) == content {
			m.hold(key, absent)
		}
	}
	return w.frame(m)
}

// markSaved notes files that a directory's rename may have saved before it failed.
func (w *simWorld) markSaved(op simOp, moving map[string]string) {
	for _, st := range w.states {
		if st.mount != op.mount || !st.dirty || st.orphan || !strings.HasPrefix(st.key, op.path+"/") {
			continue
		}
		switch is := held(w.after, st.key); {
		case w.became(st.key, st.content) && !w.fired:
			st.wasSaved()
		case is == st.content, w.became(op.to+st.key[len(op.path):], st.content):
			st.perhapsSaved()
		}
	}
}

// became says whether the step gave a key that content.
func (w *simWorld) became(key, content string) bool {
	return held(w.after, key) == content && held(w.bucket, key) != content
}

func (w *simWorld) sync(op simOp) string {
	m := w.published(may{}, op.mount)
	excuse := false
	for _, st := range w.states {
		if st.mount == op.mount && st.dirty && !st.orphan && (st.badWrite || st.loose || st.maybeSaved || st.replaced || st.conflict(held(w.bucket, st.key))) {
			excuse = true
		}
	}
	errno := w.call(op.mount, func() syscall.Errno {
		if err := w.mounts[op.mount].fs.Sync(context.Background()); err != nil {
			return toErrno(err)
		}
		return 0
	})
	if p := w.frame(m); p != "" {
		return p
	}
	w.dieOf(errno, func(st *simState) bool { return st.mount == op.mount })
	for _, st := range w.states {
		if st.mount != op.mount || !st.dirty || st.orphan {
			continue
		}
		if held(w.after, st.key) == st.content {
			if (errno == 0 || !w.fired) && !st.conflict(held(w.bucket, st.key)) {
				st.wasSaved()
			} else {
				st.perhapsSaved()
			}
		} else if errno == 0 && !st.maybeSaved {
			return wrong("sync", 0, "%q is not saved", st.key)
		}
	}
	if errno != 0 && !w.fired && !excuse {
		return wrong("sync", errno, "nothing had failed")
	}
	return ""
}

// dieOf finds out which of several files that were to be saved were put aside.
// Where that can't be told the history ends here.
func (w *simWorld) dieOf(errno syscall.Errno, which func(*simState) bool) {
	if errno == 0 {
		return
	}
	var sure, perhaps []*simState
	for _, st := range w.states {
		switch {
		case !st.dirty || st.orphan || !which(st):
		case st.mode == writeNew && st.content == "" && st.conflict(held(w.bucket, st.key)):
			w.stop = true // it may have lost the race, which leaves no trace
		case st.conflict(held(w.bucket, st.key)) && !st.loose && !st.maybeSaved:
			sure = append(sure, st)
		case st.conflict(held(w.bucket, st.key)) || st.loose || st.maybeSaved || w.fired:
			perhaps = append(perhaps, st)
		}
	}
	switch w.rescued {
	case 0:
		return
	case len(sure) + len(perhaps):
		sure = append(sure, perhaps...)
	case len(sure):
	default:
		w.stop = true
	}
	for _, st := range sure {
		w.die(st)
	}
}
