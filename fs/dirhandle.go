package fs

import (
	"context"
	"sync"
	"time"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
)

// dirHandle is one opened directory: the names it has told so far, which stay
// where they are so that seekdir finds them, and the listing that brings more.
// Of a directory with very many names only the last are held.
type dirHandle struct {
	dir *node

	mu      sync.Mutex
	names   []cache.Named[entry] // guarded by mu
	first   int                  // guarded by mu; how many names came before these and are not held any more
	left    time.Duration        // guarded by mu; how long the names hold
	begun   bool                 // guarded by mu
	all     bool                 // guarded by mu; there are no more names
	listing *listing             // guarded by mu; nil if the names were known
	scan    *cache.Scan[entry]   // guarded by mu
	token   string               // guarded by mu; of the next page
	ahead   chan pageResult      // guarded by mu; the next page on its way
	giveUp  context.CancelFunc   // guarded by mu; gives that page up; nil if there is none
}

type pageResult struct {
	page s3.Page
	err  error
}

// maxHeld is how many names of a directory are held while it is listed. A bucket
// may have more keys side by side than there is memory.
const maxHeld = 100_000

// stop ends a listing that nobody will read on, and a page on its way without
// waiting for it: the server may not even answer. d.mu must be held.
func (d *dirHandle) stop() {
	if d.scan != nil {
		d.scan.Cancel()
		d.scan = nil
	}
	if d.giveUp != nil {
		d.giveUp()
		d.ahead, d.giveUp = nil, nil
	}
}

// rewind makes the next call begin the listing again.
func (d *dirHandle) rewind() {
	d.stop()
	d.names, d.first, d.begun, d.all, d.listing, d.token = nil, 0, false, false, nil, ""
}

// hold adds names and returns them where they are held now. Where there are too
// many, the oldest go, and the directory as a whole is not remembered.
func (d *dirHandle) hold(names []cache.Named[entry]) []cache.Named[entry] {
	if len(d.names) >= maxHeld {
		gone := len(d.names) - maxHeld/2
		d.names = append(make([]cache.Named[entry], 0, maxHeld+len(names)), d.names[gone:]...)
		d.first += gone
		if d.scan != nil {
			d.scan.Cancel()
			d.scan = nil
		}
	}
	d.names = append(d.names, names...)
	if d.scan == nil {
		d.listing.entries = nil
	}
	return d.names[len(d.names)-len(names):]
}

// nextPage takes the page that was asked for ahead, or asks now.
func (f *FS) nextPage(ctx context.Context, d *dirHandle, prefix string) (s3.Page, error) {
	if d.ahead == nil {
		return f.bucket.ListPage(ctx, s3.ListInput{Prefix: prefix, Delimiter: "/", Token: d.token})
	}
	select {
	case r := <-d.ahead:
		d.giveUp()
		d.ahead, d.giveUp = nil, nil
		return r.page, r.err
	case <-ctx.Done():
		return s3.Page{}, ctx.Err()
	}
}

// readAhead asks for the next page while the kernel takes this one.
func (d *dirHandle) readAhead(f *FS, prefix string) {
	result, token := make(chan pageResult, 1), d.token
	ctx, giveUp := context.WithCancel(f.life)
	d.ahead, d.giveUp = result, giveUp
	f.work.Add(1)
	go func() {
		defer f.work.Done()
		p, err := f.bucket.ListPage(ctx, s3.ListInput{Prefix: prefix, Delimiter: "/", Token: token})
		result <- pageResult{p, err}
	}()
}
