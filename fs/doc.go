// Package fs presents a bucket as a file system. It is the only importer of
// go-fuse, and speaks its raw protocol: the kernel's numbers are ours, so there
// is one tree of nodes and one lock over it.
//
// # Who owns what
//
// A [node] is identity: which number a name has and where it stands. What the
// bucket says about a name is remembered in cache.Names and may be forgotten
// at any moment. What the bucket does not have yet belongs to the [file], which
// exists while the inode is open or unsaved; a [handle] owns a read position.
//
// # Consistency
//
// An open asks the bucket: it is the GET of the first bytes, and its answer is
// the version that the handle will read, whatever happens to the object. When
// somebody else replaces an object that is open here, the open file keeps its
// version (or fails with ESTALE when bytes of it are gone), and the name leads
// to a new inode. Directories are listings up to the metadata TTL old, with
// this mount's own changes always in them.
//
// # Saving
//
// Unsaved bytes are a transfer.Draft. FLUSH (every close) and FSYNC commit it
// and return what S3 said. Only the release of a file whose last descriptor
// was closed by somebody who did not open it (a shell's child) may find
// something unsaved; it is committed then, and what can't be is kept in the
// recovery directory.
//
// # Locks
//
// In this order: pending.writing, file.op, then siblings.mu, then tree.mu, then the leaves (file.mu, node.mu, those
// of other packages). Only the first two are held across a request. Two files' op are
// taken in the order of their nodes' ids. A pin (pin.go) is no lock but keeps
// keys in place: it is taken after file.op, and renaming a directory, which
// waits for pins, holds no op.
package fs
