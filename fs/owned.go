package fs

import (
	"maps"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// owned is what this mount itself did to a file's attributes. It counts while
// the object is the version etag, or until it is written (dirty).
type owned struct {
	posix posix
	xattr map[string]string // user metadata set (text) …
	gone  map[string]bool   // … and removed
	etag  string
	was   string // what etag was before this mount's last save; see sinceThen
	dirty bool
	atime time.Time
}

// saved is how often this mount gave the node another version.
func (n *node) saved() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.saves
}

// isRewriting says whether a version that nobody knows may be this mount's own.
func (n *node) isRewriting() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rewriting
}

func (n *node) setRewriting(rewriting bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rewriting = rewriting
}

// version is which content of a node attributes belong to. That of a directory
// is always the same.
type version struct {
	etag    string
	drafted bool // a content that this mount has yet to save
}

func (e entry) version() version { return version{e.etag, e.drafted} }

// owns tells whether what this mount did to the attributes counts for v: what it
// did to a version that somebody else replaced went with that. n.mu must be held.
func (n *node) owns(v version) bool {
	return n.own != nil && (v.drafted || n.rewriting || v.etag == n.own.etag)
}

// ownOf is what this mount did to v, made if need be. n.mu must be held.
func (n *node) ownOf(v version) *owned {
	if !n.owns(v) {
		n.own = &owned{etag: v.etag}
	}
	return n.own
}

// sinceThen is what became of a version that the bucket told of: this mount may
// have saved it while the answer was on its way. at is what n.saved was before the
// bucket was asked. After that, it is somebody else's who has brought it back.
func (n *node) sinceThen(at int, etag string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.saves != at && n.own != nil && etag != "" && etag == n.own.was {
		return n.own.etag
	}
	return etag
}

// overlay is what this mount did to the attributes of v.
func (n *node) overlay(v version) (posix, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.owns(v) {
		return posix{}, time.Time{}
	}
	return n.own.posix, n.own.atime
}

// disown forgets what this mount did to a version that is gone.
func (n *node) disown(o owned) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own != nil && n.own.etag == o.etag {
		n.own = nil
	}
}

// timeIsNew forgets the time that was set, because the content has changed since.
func (n *node) timeIsNew() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own != nil {
		n.own.posix.has &^= hasMtime
	}
}

// written records, after a save, which version the node's attributes belong
// to. It keeps as dirty what changed while the save was on its way.
func (n *node) written(saved owned, etag string, mtime time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own == nil {
		n.own = &owned{}
	}
	if n.own.etag != etag {
		n.own.was, n.own.etag = n.own.etag, etag
	}
	n.saves++
	n.own.dirty = !saved.same(n.own)
	if n.own.posix.has&hasMtime == 0 {
		n.own.posix.mtime, n.own.posix.has = mtime, n.own.posix.has|hasMtime
	}
}

// snapshot is the node's own attributes as they are now.
func (n *node) snapshot() owned {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own == nil {
		return owned{}
	}
	o := *n.own
	o.xattr, o.gone = maps.Clone(o.xattr), maps.Clone(o.gone)
	return o
}

func (o *owned) same(b *owned) bool {
	return o.posix == b.posix && maps.Equal(o.xattr, b.xattr) && maps.Equal(o.gone, b.gone)
}

// apply lays what this mount did to a file over an object's attributes.
func (o owned) apply(a s3.Attributes, key string, k kind, mtime time.Time) s3.Attributes {
	if a.ContentType == "" {
		a.ContentType = contentType(key)
	}
	meta := maps.Clone(a.Metadata)
	if meta == nil {
		meta = map[string]string{}
	}
	for name := range o.gone {
		delete(meta, name)
	}
	maps.Copy(meta, o.xattr)
	p := o.posix
	if !mtime.IsZero() {
		p = p.over(posix{has: hasMtime, mtime: mtime})
	}
	p.write(meta, k)
	a.Metadata = meta
	return a
}

// follow records that the content was, if the node shows that, is a version is
// now, with the attributes that it had. It reports whether this mount has done
// anything to these; what waits to be written waits on.
func (n *node) follow(was, is string) (owns bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pages != "" && n.pages == was {
		n.pages = is
	}
	if n.kind == kindDir || !n.owns(version{etag: was}) {
		return false
	}
	n.own.etag = is
	n.saves++
	return true
}
