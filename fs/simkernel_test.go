package fs

import (
	"encoding/binary"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// simKernel stands for the Linux kernel above one FS: it turns system calls
// into the requests that fs/fuse and the VFS would send, in their order. It
// caches names as long as it was told, looks a path up again after an ESTALE,
// keeps changes within a directory apart and counts what it must forget. It is
// safe for concurrent use, as a kernel is.
type simKernel struct {
	fs       *FS
	renaming sync.Mutex // s_vfs_rename_mutex: one rename between directories at a time

	mu     sync.Mutex
	inodes map[uint64]*simInode // guarded by mu
}

// simInode is what the kernel knows of a node.
type simInode struct {
	id    uint64
	mode  uint32
	entry sync.Mutex // i_rwsem of a directory: one change of its names at a time

	names   map[string]simDentry // guarded by simKernel.mu; of a directory
	lookups uint64               // guarded by simKernel.mu; to be forgotten
	links   int                  // guarded by simKernel.mu; dentries that lead here
	opens   int                  // guarded by simKernel.mu; files, and calls under way
}

// simDentry is a remembered name; inode nil means that there is none.
type simDentry struct {
	inode   *simInode
	expires time.Time
}

// simFile is an open file description.
type simFile struct {
	k     *simKernel
	inode *simInode
	fh    uint64
	flags uint32

	created bool // by this open
	keep    bool // the FS says that cached pages are right
}

func newSimKernel(f *FS) *simKernel {
	root := &simInode{id: rootIno, mode: syscall.S_IFDIR, names: map[string]simDentry{}, links: 1}
	return &simKernel{fs: f, inodes: map[uint64]*simInode{rootIno: root}}
}

func header(n *simInode) fuse.InHeader { return fuse.InHeader{NodeId: n.id} }

func errnoOf(st fuse.Status) syscall.Errno { return syscall.Errno(st) }

// adopt makes an answer's node known. The caller holds a use of it until put.
func (k *simKernel) adopt(out *fuse.EntryOut) *simInode {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.inodes[out.NodeId]
	if n == nil {
		n = &simInode{id: out.NodeId, mode: out.Mode & syscall.S_IFMT}
		if n.mode == syscall.S_IFDIR {
			n.names = map[string]simDentry{}
		}
		k.inodes[n.id] = n
	}
	n.lookups++
	n.opens++
	return n
}

// put ends a use of an inode, which is forgotten with its last name and use.
func (k *simKernel) put(n *simInode) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n.opens--
	k.evict(n)
}

// evict forgets an inode that nothing leads to. k.mu must be held.
func (k *simKernel) evict(n *simInode) {
	if n.id == rootIno || n.opens > 0 || n.links > 0 || k.inodes[n.id] != n {
		return
	}
	delete(k.inodes, n.id)
	for name := range n.names {
		k.detach(n, name)
	}
	k.fs.Forget(n.id, n.lookups)
}

// detach drops a dentry. k.mu must be held.
func (k *simKernel) detach(dir *simInode, name string) {
	d, ok := dir.names[name]
	if !ok {
		return
	}
	delete(dir.names, name)
	if d.inode != nil {
		d.inode.links--
		k.evict(d.inode)
	}
}

// attach remembers what a name leads to.
func (k *simKernel) attach(dir *simInode, name string, n *simInode, valid time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n != nil {
		n.links++
	}
	k.detach(dir, name)
	dir.names[name] = simDentry{n, time.Now().Add(valid)}
}

func (k *simKernel) drop(dir *simInode, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.detach(dir, name)
}

// dropCaches forgets all names, as echo 2 >drop_caches does.
func (k *simKernel) dropCaches() {
	k.mu.Lock()
	defer k.mu.Unlock()
	root := k.inodes[rootIno]
	for name := range root.names {
		k.detach(root, name)
	}
}

// lookup finds a name in a directory whose entry lock is held. The inode must
// be put; it is nil if there is none.
func (k *simKernel) lookup(dir *simInode, name string, again bool) (*simInode, syscall.Errno) {
	k.mu.Lock()
	d, ok := dir.names[name]
	if ok && !again && time.Now().Before(d.expires) {
		if d.inode != nil {
			d.inode.opens++
		}
		k.mu.Unlock()
		return d.inode, 0
	}
	k.mu.Unlock()
	var out fuse.EntryOut
	h := header(dir)
	st := k.fs.Lookup(nil, &h, name, &out)
	switch {
	case st == fuse.ENOENT:
		k.drop(dir, name)
		return nil, 0
	case !st.Ok():
		k.drop(dir, name)
		return nil, errnoOf(st)
	case out.NodeId == 0:
		k.attach(dir, name, nil, out.EntryTimeout())
		return nil, 0
	}
	n := k.adopt(&out)
	k.attach(dir, name, n, out.EntryTimeout())
	return n, 0
}

// parent walks to the directory of a path. It must be put.
func (k *simKernel) parent(path string, again bool) (*simInode, string, syscall.Errno) {
	parts := strings.Split(path, "/")
	k.mu.Lock()
	dir := k.inodes[rootIno]
	dir.opens++
	k.mu.Unlock()
	for _, name := range parts[:len(parts)-1] {
		dir.entry.Lock()
		n, errno := k.lookup(dir, name, again)
		dir.entry.Unlock()
		k.put(dir)
		switch {
		case errno != 0:
			return nil, "", errno
		case n == nil:
			return nil, "", syscall.ENOENT
		case n.mode != syscall.S_IFDIR:
			k.put(n)
			return nil, "", syscall.ENOTDIR
		}
		dir = n
	}
	return dir, parts[len(parts)-1], 0
}

// retryStale runs a call on a path once more, with all names asked anew, if it
// met a stale one.
func retryStale(call func(again bool) syscall.Errno) syscall.Errno {
	errno := call(false)
	if errno == syscall.ESTALE {
		errno = call(true)
	}
	return errno
}

// at runs call with the directory of a path locked, and what the name leads to.
func (k *simKernel) at(path string, call func(dir *simInode, name string, n *simInode) syscall.Errno) syscall.Errno {
	return retryStale(func(again bool) syscall.Errno {
		dir, name, errno := k.parent(path, again)
		if errno != 0 {
			return errno
		}
		defer k.put(dir)
		dir.entry.Lock()
		defer dir.entry.Unlock()
		n, errno := k.lookup(dir, name, again)
		if errno != 0 {
			return errno
		}
		if n != nil {
			defer k.put(n)
		}
		return call(dir, name, n)
	})
}

// find is the inode of a path, used until put.
func (k *simKernel) find(path string, again bool) (*simInode, syscall.Errno) {
	dir, name, errno := k.parent(path, again)
	if errno != 0 {
		return nil, errno
	}
	defer k.put(dir)
	dir.entry.Lock()
	defer dir.entry.Unlock()
	n, errno := k.lookup(dir, name, again)
	if errno == 0 && n == nil {
		errno = syscall.ENOENT
	}
	return n, errno
}

// open is open(2).
func (k *simKernel) open(path string, flags uint32) (*simFile, syscall.Errno) {
	var file *simFile
	errno := retryStale(func(again bool) (errno syscall.Errno) {
		file, errno = k.openOnce(path, flags, again)
		return errno
	})
	return file, errno
}

func (k *simKernel) openOnce(path string, flags uint32, again bool) (*simFile, syscall.Errno) {
	dir, name, errno := k.parent(path, again)
	if errno != 0 {
		return nil, errno
	}
	defer k.put(dir)
	dir.entry.Lock()
	n, errno := k.lookup(dir, name, again || flags&syscall.O_EXCL != 0)
	if errno == 0 && n == nil && flags&syscall.O_CREAT != 0 {
		defer dir.entry.Unlock()
		return k.create(dir, name, flags)
	}
	dir.entry.Unlock()
	if errno != 0 {
		return nil, errno
	}
	if n == nil {
		return nil, syscall.ENOENT
	}
	switch {
	case flags&syscall.O_CREAT != 0 && flags&syscall.O_EXCL != 0:
		errno = syscall.EEXIST
	case n.mode == syscall.S_IFDIR:
		errno = syscall.EISDIR
	}
	if errno != 0 {
		k.put(n)
		return nil, errno
	}
	in := fuse.OpenIn{InHeader: header(n), Flags: flags &^ (syscall.O_CREAT | syscall.O_EXCL)}
	var out fuse.OpenOut
	if st := k.fs.Open(nil, &in, &out); !st.Ok() {
		k.put(n)
		return nil, errnoOf(st)
	}
	return &simFile{k: k, inode: n, fh: out.Fh, flags: flags, keep: out.OpenFlags&fuse.FOPEN_KEEP_CACHE != 0}, 0
}

func (k *simKernel) create(dir *simInode, name string, flags uint32) (*simFile, syscall.Errno) {
	in := fuse.CreateIn{InHeader: header(dir), Flags: flags, Mode: syscall.S_IFREG | 0o644}
	var out fuse.CreateOut
	if st := k.fs.Create(nil, &in, name, &out); !st.Ok() {
		return nil, errnoOf(st)
	}
	n := k.adopt(&out.EntryOut)
	k.attach(dir, name, n, out.EntryTimeout())
	return &simFile{k: k, inode: n, fh: out.Fh, flags: flags, created: true}, 0
}

// read is pread(2).
func (f *simFile) read(off, size int) (string, syscall.Errno) {
	return f.readCancel(nil, off, size)
}

func (f *simFile) readCancel(cancel <-chan struct{}, off, size int) (string, syscall.Errno) {
	buf := make([]byte, size)
	in := fuse.ReadIn{InHeader: header(f.inode), Fh: f.fh, Offset: uint64(off), Size: uint32(size)}
	res, st := f.k.fs.Read(cancel, &in, buf)
	if !st.Ok() {
		return "", errnoOf(st)
	}
	defer res.Done()
	p, st := res.Bytes(buf)
	return string(p), errnoOf(st)
}

// write is pwrite(2), or write(2) with O_APPEND.
func (f *simFile) write(data string, off int) syscall.Errno {
	in := fuse.WriteIn{InHeader: header(f.inode), Fh: f.fh, Offset: uint64(off), Size: uint32(len(data)), Flags: f.flags}
	n, st := f.k.fs.Write(nil, &in, []byte(data))
	if st.Ok() && int(n) != len(data) {
		return syscall.EIO
	}
	return errnoOf(st)
}

func (f *simFile) fsync() syscall.Errno { return f.fsyncCancel(nil) }

func (f *simFile) fsyncCancel(cancel <-chan struct{}) syscall.Errno {
	return errnoOf(f.k.fs.Fsync(cancel, &fuse.FsyncIn{InHeader: header(f.inode), Fh: f.fh}))
}

// copyRange is copy_file_range(2) of a whole file.
func (f *simFile) copyRange(from *simFile) syscall.Errno {
	in := fuse.CopyFileRangeIn{InHeader: header(from.inode), FhIn: from.fh, NodeIdOut: f.inode.id, FhOut: f.fh, Len: 1 << 30}
	_, st := f.k.fs.CopyFileRange(nil, &in)
	return errnoOf(st)
}

// flush is what close(2) of one of several descriptors does.
func (f *simFile) flush() syscall.Errno {
	return errnoOf(f.k.fs.Flush(nil, &fuse.FlushIn{InHeader: header(f.inode), Fh: f.fh}))
}

// close is close(2) of the last descriptor.
func (f *simFile) close() syscall.Errno {
	errno := f.flush()
	f.release()
	return errno
}

// release is what follows a close(2) that has returned already.
func (f *simFile) release() {
	f.k.fs.Release(nil, &fuse.ReleaseIn{InHeader: header(f.inode), Fh: f.fh, Flags: f.flags})
	f.k.put(f.inode)
}

func (f *simFile) truncate(size int) syscall.Errno {
	in := fuse.SetAttrIn{}
	in.InHeader, in.Valid, in.Size, in.Fh = header(f.inode), fuse.FATTR_SIZE|fuse.FATTR_FH, uint64(size), f.fh
	var out fuse.AttrOut
	return errnoOf(f.k.fs.SetAttr(nil, &in, &out))
}

// setattr is truncate(2), chmod(2) or utimensat(2).
func (k *simKernel) setattr(path string, edit func(*fuse.SetAttrIn)) (n *simInode, errno syscall.Errno) {
	errno = retryStale(func(again bool) (errno syscall.Errno) {
		n, errno = k.find(path, again)
		if errno != 0 {
			return errno
		}
		defer k.put(n)
		var in fuse.SetAttrIn
		in.InHeader = header(n)
		edit(&in)
		if in.Valid&fuse.FATTR_SIZE != 0 && n.mode == syscall.S_IFDIR {
			return syscall.EISDIR
		}
		var out fuse.AttrOut
		return errnoOf(k.fs.SetAttr(nil, &in, &out))
	})
	return n, errno
}

func (k *simKernel) truncate(path string, size int) (*simInode, syscall.Errno) {
	return k.setattr(path, func(in *fuse.SetAttrIn) { in.Valid, in.Size = fuse.FATTR_SIZE, uint64(size) })
}

func (k *simKernel) utimes(path string, t int) syscall.Errno {
	_, errno := k.setattr(path, func(in *fuse.SetAttrIn) { in.Valid, in.Mtime = fuse.FATTR_MTIME, uint64(t) })
	return errno
}

// stat is stat(2), with the attributes asked for anew.
func (k *simKernel) stat(path string) (fuse.Attr, syscall.Errno) {
	var out fuse.AttrOut
	errno := retryStale(func(again bool) syscall.Errno {
		n, errno := k.find(path, again)
		if errno != 0 {
			return errno
		}
		defer k.put(n)
		return errnoOf(k.fs.GetAttr(nil, &fuse.GetAttrIn{InHeader: header(n)}, &out))
	})
	return out.Attr, errno
}

// unlink also tells which inode it was about, as rename and truncate do.
func (k *simKernel) unlink(path string) (gone *simInode, errno syscall.Errno) {
	errno = k.at(path, func(dir *simInode, name string, n *simInode) syscall.Errno {
		gone = n
		switch {
		case n == nil:
			return syscall.ENOENT
		case n.mode == syscall.S_IFDIR:
			return syscall.EISDIR
		}
		h := header(dir)
		errno := errnoOf(k.fs.Unlink(nil, &h, name))
		if errno == 0 || errno == syscall.EINTR {
			k.drop(dir, name)
		}
		return errno
	})
	return gone, errno
}

func (k *simKernel) rmdir(path string) syscall.Errno {
	return k.at(path, func(dir *simInode, name string, n *simInode) syscall.Errno {
		switch {
		case n == nil:
			return syscall.ENOENT
		case n.mode != syscall.S_IFDIR:
			return syscall.ENOTDIR
		}
		n.entry.Lock()
		defer n.entry.Unlock()
		h := header(dir)
		errno := errnoOf(k.fs.Rmdir(nil, &h, name))
		if errno == 0 || errno == syscall.EINTR {
			k.drop(dir, name)
		}
		return errno
	})
}

func (k *simKernel) mkdir(path string) syscall.Errno {
	return k.at(path, func(dir *simInode, name string, n *simInode) syscall.Errno {
		if n != nil {
			return syscall.EEXIST
		}
		in := fuse.MkdirIn{InHeader: header(dir), Mode: 0o755}
		var out fuse.EntryOut
		if st := k.fs.Mkdir(nil, &in, name, &out); !st.Ok() {
			return errnoOf(st)
		}
		n = k.adopt(&out)
		k.attach(dir, name, n, out.EntryTimeout())
		k.put(n)
		return 0
	})
}

func (k *simKernel) rename(from, to string) (n, replaced *simInode, errno syscall.Errno) {
	errno = retryStale(func(again bool) (errno syscall.Errno) {
		n, replaced, errno = k.renameOnce(from, to, again)
		return errno
	})
	return n, replaced, errno
}

func (k *simKernel) renameOnce(from, to string, again bool) (n, target *simInode, errno syscall.Errno) {
	if strings.HasPrefix(to+"/", from+"/") && to != from {
		return nil, nil, syscall.EINVAL
	}
	if strings.HasPrefix(from+"/", to+"/") && to != from {
		return nil, nil, syscall.ENOTEMPTY
	}
	oldDir, oldName, errno := k.parent(from, again)
	if errno != 0 {
		return nil, nil, errno
	}
	defer k.put(oldDir)
	newDir, newName, errno := k.parent(to, again)
	if errno != 0 {
		return nil, nil, errno
	}
	defer k.put(newDir)
	defer k.lockTwo(oldDir, newDir)()
	n, errno = k.lookup(oldDir, oldName, again)
	if errno != 0 {
		return nil, nil, errno
	}
	if n == nil {
		return nil, nil, syscall.ENOENT
	}
	defer k.put(n)
	target, errno = k.lookup(newDir, newName, again)
	if errno != 0 {
		return nil, nil, errno
	}
	if target != nil {
		defer k.put(target)
	}
	switch {
	case n == target:
		return n, nil, 0
	case target != nil && n.mode == syscall.S_IFDIR && target.mode != syscall.S_IFDIR:
		return n, target, syscall.ENOTDIR
	case target != nil && n.mode != syscall.S_IFDIR && target.mode == syscall.S_IFDIR:
		return n, target, syscall.EISDIR
	}
	in := fuse.RenameIn{InHeader: header(oldDir), Newdir: newDir.id}
	errno = errnoOf(k.fs.Rename(nil, &in, oldName, newName))
	switch errno {
	case 0:
		k.attach(newDir, newName, n, 0) // d_move; fuse then asks again
		k.drop(oldDir, oldName)
	case syscall.EINTR:
		k.drop(oldDir, oldName)
		k.drop(newDir, newName)
	}
	return n, target, errno
}

// lockTwo locks the directories of a rename in one order.
func (k *simKernel) lockTwo(a, b *simInode) (unlock func()) {
	if a == b {
		a.entry.Lock()
		return a.entry.Unlock
	}
	k.renaming.Lock()
	if b.id < a.id {
		a, b = b, a
	}
	a.entry.Lock()
	b.entry.Lock()
	return func() {
		b.entry.Unlock()
		a.entry.Unlock()
		k.renaming.Unlock()
	}
}

// list is readdir(3) of a whole directory: what each name is.
func (k *simKernel) list(path string) (map[string]uint32, syscall.Errno) {
	if path == "" {
		return k.listInode(k.inodes[rootIno])
	}
	var names map[string]uint32
	errno := retryStale(func(again bool) syscall.Errno {
		n, errno := k.find(path, again)
		if errno != 0 {
			return errno
		}
		defer k.put(n)
		if n.mode != syscall.S_IFDIR {
			return syscall.ENOTDIR
		}
		names, errno = k.listInode(n)
		return errno
	})
	return names, errno
}

func (k *simKernel) listInode(dir *simInode) (map[string]uint32, syscall.Errno) {
	var out fuse.OpenOut
	if st := k.fs.OpenDir(nil, &fuse.OpenIn{InHeader: header(dir)}, &out); !st.Ok() {
		return nil, errnoOf(st)
	}
	defer k.fs.ReleaseDir(&fuse.ReleaseIn{InHeader: header(dir), Fh: out.Fh})
	names, buf, off := map[string]uint32{}, make([]byte, 1024), uint64(0)
	for {
		clear(buf)
		l := fuse.NewDirEntryList(buf, off)
		in := fuse.ReadIn{InHeader: header(dir), Fh: out.Fh, Offset: off, Size: uint32(len(buf))}
		if st := k.fs.ReadDirPlus(nil, &in, l); !st.Ok() {
			return nil, errnoOf(st)
		}
		if l.Offset == off {
			return names, 0
		}
		for rest := buf; len(rest) > direntAt; {
			name, kind, id, size := readEntry(rest)
			if name == "" {
				break
			}
			rest = rest[size:]
			if id != 0 {
				k.mu.Lock()
				if n := k.inodes[id]; n != nil {
					n.lookups++
				} else {
					k.fs.Forget(id, 1) // the kernel need not keep what it was told
				}
				k.mu.Unlock()
			}
			if name == "." || name == ".." {
				continue
			}
			if _, twice := names[name]; twice {
				return nil, syscall.ELOOP // no directory has a name twice
			}
			names[name] = kind
		}
		off = l.Offset
	}
}

// direntAt is where struct fuse_dirent stands in a struct fuse_direntplus.
const direntAt = 128

// readEntry reads one struct fuse_direntplus of linux/fuse.h.
func readEntry(p []byte) (name string, kind uint32, id uint64, size int) {
	e := binary.NativeEndian
	id = e.Uint64(p)
	d := p[direntAt:]
	length := int(e.Uint32(d[16:]))
	kind = e.Uint32(d[20:]) << 12
	return string(d[24 : 24+length]), kind, id, direntAt + (24+length+7)&^7
}
