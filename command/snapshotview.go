package command

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cgs3fs/cgs3fs/fs"
	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/snapshot"
)

// snapshotView is a bucket that shows its own snapshots as well, below root:
// root/ID/KEY is what KEY was in the snapshot ID, and root/latest.rclonelink is
// a link to the newest.
type snapshotView struct {
	s3.Bucket
	store *snapshot.Store
	keys  string // prefix of the mount: only what is below it is shown
	root  string

	mu     sync.Mutex
	listed time.Time                      // guarded by mu
	ids    []snapshot.Info                // guarded by mu; complete ones, the oldest first
	views  map[snapshot.ID]*snapshot.View // guarded by mu
	placed time.Time                      // guarded by mu
	places []string                       // guarded by mu
}

func newSnapshotView(b s3.Bucket, name, prefix string) (*snapshotView, error) {
	store, err := snapshot.Open(snapshot.Config{Source: b, SourceName: name, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	return &snapshotView{Bucket: b, store: store, keys: prefix, root: prefix + fs.SnapshotsPart, views: map[snapshot.ID]*snapshot.View{}}, nil
}

const (
	latestLink = "latest.rclonelink"

	// snapshotsHold is how long the list of snapshots holds.
	snapshotsHold = 10 * time.Second

	// openViews bounds the manifests in memory.
	openViews = 8
)

// list is the complete snapshots of this bucket, the oldest first.
func (v *snapshotView) list(ctx context.Context) ([]snapshot.Info, error) {
	v.mu.Lock()
	ids, fresh := v.ids, time.Since(v.listed) < snapshotsHold
	v.mu.Unlock()
	if fresh {
		return ids, nil
	}
	all, err := v.store.List(ctx)
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(snapshot.Existing(all), func(i snapshot.Info) bool { return !v.store.Ours(i) })
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ids, v.listed = ids, time.Now()
	return ids, nil
}

// kept is what fs.Config.Kept wants to know.
func (v *snapshotView) kept(ctx context.Context, key string) ([]string, error) {
	if !strings.HasPrefix(key, v.store.Root()) {
		return nil, nil
	}
	v.mu.Lock()
	places, fresh := v.places, time.Since(v.placed) < snapshotsHold
	v.mu.Unlock()
	if fresh {
		return places, nil
	}
	places, err := v.store.Places(ctx)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.places, v.placed = places, time.Now()
	return places, nil
}

// view opens a snapshot.
func (v *snapshotView) view(ctx context.Context, id snapshot.ID) (*snapshot.View, error) {
	v.mu.Lock()
	view := v.views[id]
	v.mu.Unlock()
	if view != nil {
		return view, nil
	}
	view, err := v.store.View(ctx, id)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for old := range v.views {
		if len(v.views) < openViews {
			break
		}
		delete(v.views, old)
	}
	v.views[id] = view
	return view, nil
}

// within finds the snapshot that a key is in, and the key there. id is empty
// for what is not in any.
func (v *snapshotView) within(key string) (id snapshot.ID, rest string, ok bool) {
	rest, ok = strings.CutPrefix(key, v.root)
	if !ok {
		return "", "", false
	}
	name, rest, inside := strings.Cut(rest, "/")
	if !inside {
		return "", name, true
	}
	return snapshot.ID(name), v.keys + rest, true
}

// Head implements [s3.Bucket].
func (v *snapshotView) Head(ctx context.Context, key string) (s3.Info, error) {
	id, rest, ok := v.within(key)
	if !ok {
		return v.Bucket.Head(ctx, key)
	}
	if id == "" {
		return s3.Info{}, &s3.Error{Op: s3.OpHead, Key: key, Kind: s3.ErrNotFound}
	}
	view, err := v.view(ctx, id)
	if err != nil {
		return s3.Info{}, err
	}
	info, err := view.Head(ctx, rest)
	info.Key = key
	return info, err
}

// Get implements [s3.Bucket].
func (v *snapshotView) Get(ctx context.Context, key string, o s3.GetOptions) (*s3.Body, error) {
	id, rest, ok := v.within(key)
	if !ok {
		return v.Bucket.Get(ctx, key, o)
	}
	if id == "" {
		return v.latest(ctx, key, rest)
	}
	view, err := v.view(ctx, id)
	if err != nil {
		return nil, err
	}
	body, err := view.Get(ctx, rest, o)
	if err != nil {
		return nil, err
	}
	body.Info.Key = key
	return body, nil
}

// latest is the content of the link to the newest snapshot.
func (v *snapshotView) latest(ctx context.Context, key, name string) (*s3.Body, error) {
	all, err := v.list(ctx)
	if err != nil {
		return nil, err
	}
	newest, ok := newestOf(all)
	if name != latestLink || !ok {
		return nil, &s3.Error{Op: s3.OpGet, Key: key, Kind: s3.ErrNotFound}
	}
	target := string(newest.ID)
	return &s3.Body{
		ReadCloser: io.NopCloser(strings.NewReader(target)),
		Info:       s3.Info{Object: v.link(newest)},
		Range:      s3.Range{Length: int64(len(target))},
	}, nil
}

// newestOf leaves out what a restore put aside: that holds little.
func newestOf(all []snapshot.Info) (snapshot.Info, bool) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Mode != snapshot.Safety {
			return all[i], true
		}
	}
	return snapshot.Info{}, false
}

func (v *snapshotView) link(to snapshot.Info) s3.Object {
	return s3.Object{Key: v.root + latestLink, Size: int64(len(to.ID)), ETag: `"` + string(to.ID) + `"`, LastModified: to.Finished}
}

// ListPage implements [s3.Bucket].
func (v *snapshotView) ListPage(ctx context.Context, in s3.ListInput) (s3.Page, error) {
	id, rest, ok := v.within(in.Prefix)
	if !ok {
		return v.Bucket.ListPage(ctx, in)
	}
	if id == "" {
		return v.listIDs(ctx, rest)
	}
	view, err := v.view(ctx, id)
	if err != nil {
		return s3.Page{}, err
	}
	outer := v.root + string(id) + "/"
	in.Prefix = rest
	if after, ok := strings.CutPrefix(in.StartAfter, outer); ok {
		in.StartAfter = v.keys + after
	}
	page, err := view.ListPage(ctx, in)
	if err != nil {
		return s3.Page{}, err
	}
	back := func(key string) string { return outer + strings.TrimPrefix(key, v.keys) }
	for i := range page.Objects {
		page.Objects[i].Key = back(page.Objects[i].Key)
	}
	for i := range page.Prefixes {
		page.Prefixes[i] = back(page.Prefixes[i])
	}
	return page, nil
}

// listIDs is the directory of all snapshots, or what of it begins with a name.
func (v *snapshotView) listIDs(ctx context.Context, begin string) (s3.Page, error) {
	all, err := v.list(ctx)
	if err != nil {
		return s3.Page{}, err
	}
	var page s3.Page
	for _, s := range all {
		if strings.HasPrefix(string(s.ID), begin) {
			page.Prefixes = append(page.Prefixes, v.root+string(s.ID)+"/")
		}
	}
	if newest, ok := newestOf(all); ok && strings.HasPrefix(latestLink, begin) {
		page.Objects = append(page.Objects, v.link(newest))
	}
	return page, nil
}
