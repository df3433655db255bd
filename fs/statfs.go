package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// StatFs answers from memory, so that df never waits for a server. A bucket
// has no size; this is what programs that look for room need to hear.
func (f *FS) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const (
		unit  = 4096
		bytes = 1 << 50 // 1 PiB
		files = 1 << 40
	)
	out.Bsize, out.Frsize = blockSize, unit
	out.Blocks, out.Bfree, out.Bavail = bytes/unit, bytes/unit, bytes/unit
	out.Files, out.Ffree = files, files
	out.NameLen = maxName
	return fuse.OK
}

// Forget takes back what the kernel was told of a node.
func (f *FS) Forget(nodeid, nlookup uint64) { f.tree.forget(nodeid, nlookup) }

// Access is decided by the kernel (default_permissions).
func (f *FS) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status { return fuse.ENOSYS }
