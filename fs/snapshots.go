package fs

import (
	"context"
	"errors"
	"strings"
	"syscall"
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

// errKept is a change to what belongs to a snapshot in the bucket.
var errKept = errors.Join(syscall.EROFS, errors.New("it belongs to a snapshot: cgs3fs snapshot delete removes those"))

// frozen returns why what is at a node, and in it, can't be changed, if it can't.
// What snapshots consist of is plain objects that anybody with the key can
// change; programs that clear a bucket (rm -rf, rsync --delete) do not mean them.
func (f *FS) frozen(ctx context.Context, n *node) error {
	return f.frozenKey(ctx, n, strings.HasPrefix)
}

// frozenWhole is frozen of a directory with everything below it.
func (f *FS) frozenWhole(ctx context.Context, n *node) error {
	return f.frozenKey(ctx, n, func(key, place string) bool { return strings.HasPrefix(key, place) || strings.HasPrefix(place, key) })
}

func (f *FS) frozenKey(ctx context.Context, n *node, touches func(key, place string) bool) error {
	if f.cfg.ReadOnly {
		return syscall.EROFS
	}
	key, ok := f.tree.key(n)
	if !ok {
		return nil
	}
	if f.cfg.Snapshots && strings.HasPrefix(key, f.cfg.Prefix+SnapshotsPart) {
		return syscall.EROFS
	}
	if f.cfg.Kept == nil {
		return nil
	}
	places, err := f.cfg.Kept(ctx, key)
	for _, place := range places {
		if touches(key, place) {
			return errKept
		}
	}
	return err
}
