package fs

import (
	"strings"
)

// Snapshots of the bucket are below .snapshots in the mount's root: reachable
// by name, and in no listing, so that rm -rf, find and rsync --delete stay out.
// A bucket that has something of that name shows its own.
const (
	snapshotsName = ".snapshots"

	// SnapshotsPart stands for the directory in keys: with the mount's prefix
	// before it, these are keys of the Bucket that New gets, which must list each
	// snapshot as a directory there. No object of S3 can have a NUL in its key.
	SnapshotsPart = "\x00snapshots/"
)

// snapshotsDir is the directory's entry, where the bucket has no such name.
func (f *FS) snapshotsDir(dir *node, name string) (entry, bool) {
	return entry{kind: kindDir, part: SnapshotsPart}, f.cfg.Snapshots && dir.id == rootIno && name == snapshotsName
}

// frozen tells that nothing at or below a node can be changed.
func (f *FS) frozen(n *node) bool {
	if f.cfg.ReadOnly {
		return true
	}
	if !f.cfg.Snapshots {
		return false
	}
	key, _ := f.tree.key(n)
	return strings.HasPrefix(key, f.cfg.Prefix+SnapshotsPart)
}
