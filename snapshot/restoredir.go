package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// RestoreDir copies objects out of a snapshot into a local directory, which must
// exist. Nothing is written outside of it, whatever the keys and whatever links
// are in it. Files appear whole or not at all, with the times of the originals;
// those that have size and time already are taken as done. Keys that are no
// paths are skipped and told.
func (s *Store) RestoreDir(ctx context.Context, id ID, dir string, o RestoreOptions) (*Restored, error) {
	if o.Delete {
		return nil, fmt.Errorf("%w: nothing is ever deleted in a directory", ErrRefused)
	}
	r, err := s.newRestoration(ctx, id, o)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(filesAtOnce)
	for e, err := range s.Entries(groupCtx, r.m) {
		if err != nil {
			return &r.done, errors.Join(group.Wait(), err)
		}
		if wants(o.Paths, e.Key) {
			group.Go(func() error { return r.file(groupCtx, root, e) })
		}
	}
	err = group.Wait()
	if o.DryRun {
		r.done.Cost = Cost{Bytes: r.done.Bytes, Reads: r.done.Copied + int64(len(r.m.Segments))}
		r.done.Cost.total()
	}
	return &r.done, err
}

// filesAtOnce is for disks, which have less use for parallel writes than S3.
const filesAtOnce = 16

// localPath is the path of a key below a directory, or why it has none.
func localPath(key string) (name, why string) {
	name = strings.TrimSuffix(key, "/")
	if !utf8.ValidString(key) {
		return "", "is not UTF-8"
	}
	if strings.ContainsRune(key, 0) || !fs.ValidPath(name) || name == "." {
		return "", "is no path: it has an empty, a dot or a NUL part"
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > 255 {
			return "", "has a part of more than 255 bytes"
		}
		if strings.HasPrefix(part, tempPrefix) {
			return "", "looks like a file of ours that is not whole yet"
		}
	}
	return name, ""
}

const tempPrefix = ".cgs3fs-restore-"

// file restores one object as a file.
func (r *restoration) file(ctx context.Context, root *os.Root, e Entry) error {
	name, why := localPath(r.o.ToPrefix + e.Key)
	if why == "" && strings.HasSuffix(e.Key, "/") {
		if e.Size > 0 {
			why = "is a directory with content"
		} else if r.o.DryRun {
			return nil
		} else if err := root.MkdirAll(name, 0o777); err != nil {
			why = err.Error()
		}
	}
	if why != "" {
		r.skip(e.Key, why)
		return nil
	}
	if strings.HasSuffix(e.Key, "/") {
		return nil
	}
	info, err := root.Stat(name)
	if err != nil && r.o.Overwrite == OverwriteNever { // perhaps a link that leads nowhere, or out of here
		info, err = root.Lstat(name)
	}
	if err == nil && !r.replaces(e, info) {
		return nil
	}
	if r.o.DryRun {
		r.count(e, &r.done.Copied)
		return nil
	}
	return r.writeFile(ctx, root, name, e)
}

func (r *restoration) skip(key, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done.Skipped = append(r.done.Skipped, Note{Key: key, Why: "no-path", Err: why})
}

// replaces decides about a file that is there, and counts it if it stays.
func (r *restoration) replaces(e Entry, info os.FileInfo) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.o.Overwrite == OverwriteAlways:
		return true
	case info.Size() == e.Size && info.ModTime().Truncate(time.Millisecond).Equal(e.Modified):
		r.done.Same++
	case r.o.Overwrite == OverwriteNever:
		r.done.Kept++
	default:
		return true
	}
	return false
}

// writeFile brings one object down. Trouble with the directory is about this
// file alone; trouble with the bucket, or a full disk, ends the restore.
func (r *restoration) writeFile(ctx context.Context, root *os.Root, name string, e Entry) error {
	if err := root.MkdirAll(path.Dir(name), 0o777); err != nil {
		r.skip(e.Key, err.Error())
		return nil
	}
	temp := path.Join(path.Dir(name), tempPrefix+sum256([]byte(name))[:16])
	err := r.download(ctx, root, temp, e)
	if err == nil {
		err = root.Rename(temp, name)
		if err != nil {
			r.skip(e.Key, err.Error())
			return root.Remove(temp)
		}
		r.count(e, &r.done.Copied)
		return nil
	}
	if removeErr := root.Remove(temp); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	if errors.Is(err, s3.ErrChanged) || errors.Is(err, s3.ErrNotFound) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.done.Damaged = append(r.done.Damaged, e.Key)
		return nil
	}
	return fmt.Errorf("restoring %q: %w", e.Key, err)
}

func (r *restoration) download(ctx context.Context, root *os.Root, name string, e Entry) (err error) {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for off := int64(0); off < e.Size; {
		n, err := r.downloadFrom(ctx, file, off, e)
		if off += n; err != nil && (n == 0 || !errors.Is(err, s3.ErrUnavailable)) {
			return err
		}
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return root.Chtimes(name, time.Time{}, e.Modified)
}

// downloadFrom copies from an offset on until the end or an error; a body that
// breaks off is continued by the caller.
func (r *restoration) downloadFrom(ctx context.Context, to io.Writer, off int64, e Entry) (n int64, err error) {
	err = r.s.gate.do(ctx, func() error {
		o := s3.GetOptions{Range: s3.Range{Offset: off}, IfMatch: e.copyETag()}
		body, err := r.s.dest.Get(ctx, r.s.at.place(r.m.ID, e), o)
		if err != nil {
			return err
		}
		defer body.Close()
		n, err = io.Copy(to, io.LimitReader(body, e.Size-off))
		if err == nil && off+n != e.Size {
			err = &s3.Error{Op: s3.OpGet, Key: e.Key, Kind: s3.ErrCorrupt, Err: fmt.Errorf("%d bytes instead of %d", off+n, e.Size)}
		}
		return err
	})
	return n, err
}
