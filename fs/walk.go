package fs

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
)

// Programs that walk a tree (find, du, rm -r, tar) read its directories one
// after another, in order. Once two directories with a common parent were
// listed within a moment, the next one asked for is listed flat, without a
// delimiter: one page of it tells all of many small directories.

// walkPause ends a walk: a listing that comes later begins anew.
const walkPause = 2 * time.Second

// walks remembers which directories are being walked through.
type walks struct {
	mu    sync.Mutex
	begun map[*node]steps // guarded by mu; by the parent of what was listed
}

type steps struct {
	last time.Time
	n    int // listings of directories just below
}

// note counts a listing of dir and returns the directory that is being walked
// through, nil if none is.
func (w *walks) note(t *tree, dir *node, now time.Time) *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, seen := range w.begun {
		if now.Sub(seen.last) > walkPause {
			delete(w.begun, n)
		}
	}
	var through *node
	for up, _ := t.place(dir); up != nil; up, _ = t.place(up) {
		if seen, ok := w.begun[up]; ok && seen.n > 0 {
			w.begun[up] = steps{now, seen.n + 1}
			through = up
			break
		}
	}
	if up, _ := t.place(dir); up != nil && through == nil {
		if w.begun == nil {
			w.begun = map[*node]steps{}
		}
		w.begun[up] = steps{now, 1}
	}
	return through
}

// listWalk lists dir and what follows it in a walk through a directory above.
// What is whole in the page is known afterwards.
func (f *FS) listWalk(ctx context.Context, through *node, prefix string) error {
	base, ok := f.tree.key(through)
	if !ok || !strings.HasPrefix(prefix, base) || !strings.HasSuffix(prefix, "/") {
		return nil
	}
	scan := f.names.BeginTree(base)
	defer scan.End()
	// Behind everything that sorts before dir and its marker: "." comes before "/".
	page, err := f.bucket.ListPage(ctx, s3.ListInput{Prefix: base, StartAfter: strings.TrimSuffix(prefix, "/") + "."})
	if err != nil {
		return err
	}
	for dir, listed := range directories(page, base, prefix) {
		scan.Done(dir, listed)
	}
	return nil
}

// directories turns a page of a flat listing below base, which begins at start,
// into the directories that are whole in it.
func directories(page s3.Page, base, start string) map[string][]cache.Named[entry] {
	out := map[string][]cache.Named[entry]{}
	open := []*flatDir{{prefix: base}}
	finish := func() {
		d := open[len(open)-1]
		open = open[:len(open)-1]
		if strings.HasPrefix(start, d.prefix) && start != d.prefix {
			return // the page begins in the middle of it
		}
		l := newListing(d.prefix, "")
		l.add(d.page)
		out[d.prefix] = l.finish()
	}
	for _, o := range page.Objects {
		if !strings.HasPrefix(o.Key, base) {
			continue
		}
		for !strings.HasPrefix(o.Key, open[len(open)-1].prefix) {
			finish()
		}
		for {
			d := open[len(open)-1]
			i := strings.IndexByte(o.Key[len(d.prefix):], '/')
			if i < 0 {
				d.page.Objects = append(d.page.Objects, o)
				break
			}
			inner := o.Key[:len(d.prefix)+i+1]
			d.page.Prefixes = append(d.page.Prefixes, inner)
			open = append(open, &flatDir{prefix: inner})
		}
	}
	if page.Next == "" {
		for len(open) > 1 {
			finish()
		}
	}
	return out
}

// flatDir is a directory on the way through a flat listing.
type flatDir struct {
	prefix string
	page   s3.Page
}
