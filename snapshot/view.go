package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/cgs3fs/cgs3fs/s3"
)

// View shows a snapshot as a bucket that cannot be changed: its objects have the
// keys, sizes and times of the originals. Everything that shows a bucket can
// show a snapshot so. Listings come from the manifest alone; no request lists
// the copies.
//
// ETags are those of the copies, and every read is conditional on the recorded
// one, so bytes that are not the snapshot's are never served: they are
// ErrChanged.
//
// Prune may move copies and rewrite the manifest while the View is open. A file
// that is not where it was makes it read the manifest anew, once.
type View struct {
	store *Store
	id    ID

	mu     sync.Mutex
	m      *Manifest       // guarded by mu; itself it does not change
	recent []cachedSegment // guarded by mu; newest last
}

type cachedSegment struct {
	ref SegmentRef
	seg *segment
}

// viewSegments are kept in memory, as neighbours are asked for together.
const viewSegments = 4

var _ s3.Bucket = (*View)(nil)

// View opens an existing snapshot for reading.
func (s *Store) View(ctx context.Context, id ID) (*View, error) {
	m, err := s.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	return &View{store: s, id: id, m: m}, nil
}

// Manifest returns what is known about the snapshot. It must not be changed.
func (v *View) Manifest() *Manifest {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.m
}

// current runs look, and once more if what it missed may have moved meanwhile.
func (v *View) current(ctx context.Context, look func(*Manifest) error) error {
	m := v.Manifest()
	err := look(m)
	if !errors.Is(err, errMoved) && !errors.Is(err, ErrDamaged) {
		return err
	}
	now, loadErr := v.store.Load(ctx, v.id)
	if loadErr != nil || slices.EqualFunc(now.Segments, m.Segments, SegmentRef.same) {
		return err
	}
	v.mu.Lock()
	v.m, v.recent = now, nil
	v.mu.Unlock()
	return look(now)
}

// errMoved is a copy that is not in its place.
var errMoved = errors.New("the copy in the snapshot is missing or was altered")

func (r SegmentRef) same(other SegmentRef) bool {
	return r.Name == other.Name && r.SHA256 == other.SHA256
}

func (v *View) refused(op, key string) error {
	return &s3.Error{Op: op, Key: key, Kind: s3.ErrDenied, Err: errors.New("snapshots do not change")}
}

func viewError(op, key string, err error) error {
	if e, ok := err.(*s3.Error); ok {
		return e
	}
	return &s3.Error{Op: op, Key: key, Kind: s3.ErrCorrupt, Err: err}
}

// segment returns the entries of a segment.
func (v *View) segment(ctx context.Context, ref SegmentRef) ([]Entry, error) {
	v.mu.Lock()
	for _, c := range v.recent {
		if c.ref.same(ref) {
			v.mu.Unlock()
			return c.seg.Entries, nil
		}
	}
	v.mu.Unlock()
	seg, err := v.store.readSegment(ctx, v.id, ref)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.recent = append(v.recent, cachedSegment{ref, seg})
	if len(v.recent) > viewSegments {
		v.recent = v.recent[1:]
	}
	return seg.Entries, nil
}

// seek returns the first entry after a key, or with inclusive the key's own.
func (v *View) seek(ctx context.Context, m *Manifest, key string, inclusive bool) (Entry, bool, error) {
	refs := m.Segments
	i := sort.Search(len(refs), func(i int) bool { return refs[i].Through == "" || refs[i].Through >= key })
	for ; i < len(refs); i++ {
		if refs[i].Objects == 0 {
			continue
		}
		entries, err := v.segment(ctx, refs[i])
		if err != nil {
			return Entry{}, false, err
		}
		j := sort.Search(len(entries), func(j int) bool {
			return entries[j].Key > key || inclusive && entries[j].Key == key
		})
		if j < len(entries) {
			return entries[j], true, nil
		}
	}
	return Entry{}, false, nil
}

func (v *View) find(ctx context.Context, m *Manifest, op, key string) (Entry, error) {
	e, found, err := v.seek(ctx, m, key, true)
	if err != nil {
		return Entry{}, err
	}
	if !found || e.Key != key {
		return Entry{}, &s3.Error{Op: op, Key: key, Kind: s3.ErrNotFound, Status: 404}
	}
	return e, nil
}

func (e Entry) object() s3.Object {
	return s3.Object{Key: e.Key, Size: e.Size, ETag: e.copyETag(), LastModified: e.Modified, StorageClass: e.StorageClass}
}

// Head implements [s3.Bucket].
func (v *View) Head(ctx context.Context, key string) (info s3.Info, err error) {
	err = v.current(ctx, func(m *Manifest) error {
		e, err := v.find(ctx, m, s3.OpHead, key)
		if err != nil {
			return err
		}
		info, err = v.store.dest.Head(ctx, v.store.at.place(v.id, e))
		if err != nil {
			return moved(err)
		}
		if info.ETag != e.copyETag() {
			return errMoved
		}
		info.Object = e.object()
		return nil
	})
	if err != nil {
		return s3.Info{}, viewError(s3.OpHead, key, err)
	}
	return info, nil
}

// moved marks errors that a copy gives which is not in its place.
func moved(err error) error {
	if errors.Is(err, s3.ErrNotFound) || errors.Is(err, s3.ErrChanged) {
		return fmt.Errorf("%w: %w", errMoved, err)
	}
	return err
}

// Get implements [s3.Bucket].
func (v *View) Get(ctx context.Context, key string, o s3.GetOptions) (body *s3.Body, err error) {
	err = v.current(ctx, func(m *Manifest) error {
		e, err := v.find(ctx, m, s3.OpGet, key)
		if err != nil {
			return err
		}
		if o.IfMatch != "" && o.IfMatch != e.copyETag() {
			return &s3.Error{Op: s3.OpGet, Key: key, Kind: s3.ErrChanged, Status: 412}
		}
		o := o
		o.IfMatch, o.VersionID = e.copyETag(), ""
		body, err = v.store.dest.Get(ctx, v.store.at.place(v.id, e), o)
		if err != nil {
			return moved(err)
		}
		body.Info.Object = e.object()
		return nil
	})
	if err != nil {
		return nil, viewError(s3.OpGet, key, err)
	}
	return body, nil
}

// ListPage implements [s3.Bucket]. Below a delimiter it skips from one common
// prefix to the next, reading only the segments that these are in.
func (v *View) ListPage(ctx context.Context, in s3.ListInput) (page s3.Page, err error) {
	err = v.current(ctx, func(m *Manifest) error {
		page, err = v.listPage(ctx, m, in)
		return err
	})
	if err != nil {
		return s3.Page{}, viewError(s3.OpList, in.Prefix, err)
	}
	return page, nil
}

func (v *View) listPage(ctx context.Context, m *Manifest, in s3.ListInput) (s3.Page, error) {
	after, inclusive := max(in.StartAfter, in.Prefix), in.StartAfter < in.Prefix
	if in.Token != "" {
		after, inclusive = in.Token[1:], in.Token[0] == '='
	}
	limit := in.Max
	if limit <= 0 || limit > s3.MaxPage {
		limit = s3.MaxPage
	}
	var page s3.Page
	for {
		e, found, err := v.seek(ctx, m, after, inclusive)
		if err != nil {
			return s3.Page{}, err
		}
		if !found || !strings.HasPrefix(e.Key, in.Prefix) {
			return page, nil
		}
		if len(page.Objects)+len(page.Prefixes) == limit {
			page.Next = "=" + e.Key
			return page, nil
		}
		rest := e.Key[len(in.Prefix):]
		if i := strings.Index(rest, in.Delimiter); in.Delimiter != "" && i >= 0 {
			common := e.Key[:len(in.Prefix)+i+len(in.Delimiter)]
			page.Prefixes = append(page.Prefixes, common)
			after, inclusive = afterPrefix(common), true
			continue
		}
		page.Objects = append(page.Objects, e.object())
		after, inclusive = e.Key, false
	}
}

// afterPrefix is the least string that is after all keys with the prefix, whose
// last byte is not the highest.
func afterPrefix(prefix string) string {
	last := len(prefix) - 1
	return prefix[:last] + string(rune(prefix[last]+1))
}

// Put implements [s3.Bucket]: it is ErrDenied.
func (v *View) Put(_ context.Context, key string, _ io.ReadSeeker, _ s3.PutOptions) (s3.Info, error) {
	return s3.Info{}, v.refused(s3.OpPut, key)
}

// Copy implements [s3.Bucket]: it is ErrDenied.
func (v *View) Copy(_ context.Context, _ s3.Source, dst string, _ s3.CopyOptions) (s3.Info, error) {
	return s3.Info{}, v.refused(s3.OpCopy, dst)
}

// Delete implements [s3.Bucket]: it is ErrDenied.
func (v *View) Delete(_ context.Context, targets ...s3.Target) error {
	if len(targets) == 0 {
		return nil
	}
	e := &s3.DeleteError{Failed: map[string]error{}, First: v.refused(s3.OpDelete, targets[0].Key)}
	for _, t := range targets {
		e.Failed[t.Key] = v.refused(s3.OpDelete, t.Key)
	}
	return e
}

// NewUpload implements [s3.Bucket]: it is ErrDenied.
func (v *View) NewUpload(_ context.Context, key string, _ s3.PutOptions) (s3.Upload, error) {
	return nil, v.refused(s3.OpNewUpload, key)
}

// ResumeUpload implements [s3.Bucket]: it is ErrDenied.
func (v *View) ResumeUpload(_ context.Context, key, _ string, _ s3.PutOptions) (s3.Upload, error) {
	return nil, v.refused(s3.OpListParts, key)
}

// ListUploads implements [s3.Bucket]: there are none.
func (v *View) ListUploads(context.Context, string) ([]s3.PendingUpload, error) { return nil, nil }
