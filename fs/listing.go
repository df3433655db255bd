package fs

import (
	"strings"
	"time"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
)

// kind is what a name is.
type kind uint8

const (
	kindFile kind = iota
	kindDir
	kindLink
)

// entry is what the bucket says about a name. It can be forgotten at any time.
type entry struct {
	kind kind
	part string // what the key adds to the directory's prefix; a directory's ends in "/" (or is the beginning of long parts)

	// Of files and links, from a listing or a request.
	size  int64
	etag  string
	mtime time.Time
	class string // storage class

	drafted bool // of an open file: this mount has changed the content

	// posix is what the object's metadata says, nil where nobody asked.
	posix *posix
}

func (e entry) object(prefix string) s3.Object {
	return s3.Object{Key: prefix + e.part, Size: e.size, ETag: e.etag, LastModified: e.mtime, StorageClass: e.class}
}

// suffix is what the key has and the name has not.
func (e entry) suffix() string {
	switch e.kind {
	case kindDir:
		return "/"
	case kindLink:
		return linkSuffix
	}
	return ""
}

func fileEntry(part string, o s3.Object) entry {
	k := kindFile
	if strings.HasSuffix(part, linkSuffix) {
		k = kindLink
	}
	return entry{kind: k, part: part, size: o.Size, etag: o.ETag, mtime: o.LastModified, class: o.StorageClass}
}

// markerName is the name under which a complete directory remembers that its
// marker object exists. No file can have it.
const markerName = ""

// listing turns the pages of one directory into names. Pages must come in key
// order, as S3 lists general purpose buckets.
type listing struct {
	prefix string // of the directory
	lead   string // the part's beginning, in an @s3+ directory

	entries []cache.Named[entry]
	held    []entry         // files and links whose name a later directory may take
	long    map[string]bool // @s3+ directories already named
	marker  bool
}

func newListing(prefix, lead string) *listing {
	return &listing{prefix: prefix, lead: lead, long: map[string]bool{}}
}

// add takes one page and appends to entries what is settled.
func (l *listing) add(p s3.Page) {
	i, j := 0, 0
	for i < len(p.Objects) || j < len(p.Prefixes) {
		if j >= len(p.Prefixes) || (i < len(p.Objects) && p.Objects[i].Key < p.Prefixes[j]) {
			l.object(p.Objects[i])
			i++
		} else {
			l.directory(p.Prefixes[j])
			j++
		}
	}
}

// finish settles what is still held. To be called after the last page.
func (l *listing) finish() []cache.Named[entry] {
	l.settle("")
	if l.marker {
		l.entries = append(l.entries, cache.Named[entry]{Name: markerName, Entry: entry{kind: kindFile}})
	}
	return l.entries
}

func (l *listing) object(o s3.Object) {
	part, ok := strings.CutPrefix(o.Key, l.prefix)
	if !ok {
		return // not what was asked for; a server's mistake must not become a name here
	}
	if part == "" && l.lead == "" {
		if o.Size == 0 {
			l.marker = true
			return
		}
	}
	l.settle(part)
	piece, last, ok := l.piece(part)
	switch {
	case !ok:
	case !last:
		l.longDirectory(piece)
	default:
		l.held = append(l.held, fileEntry(part, o))
	}
}

func (l *listing) directory(p string) {
	part, ok := strings.CutPrefix(p, l.prefix)
	if !ok {
		return
	}
	body := strings.TrimSuffix(part, "/")
	piece, last, ok := l.piece(body)
	switch {
	case !ok:
	case !last:
		l.settle(part)
		l.longDirectory(piece)
	default:
		l.twins(body)
		l.settle(part)
		l.emit(partName(piece), entry{kind: kindDir, part: part})
	}
}

// piece is what this directory shows of a part: the whole of it nearly always.
func (l *listing) piece(part string) (piece string, last, ok bool) {
	all := chunks(l.lead + part)
	at := 0
	for i, c := range all {
		if at == len(l.lead) {
			return c, i == len(all)-1, true
		}
		at += len(c)
		if at > len(l.lead) {
			break
		}
	}
	return "", false, false
}

func (l *listing) longDirectory(chunk string) {
	if !l.long[chunk] {
		l.long[chunk] = true
		l.emit(longName(chunk), entry{kind: kindDir, part: chunk})
	}
}

// twins names the held objects whose own name a directory takes.
func (l *listing) twins(body string) {
	kept := l.held[:0]
	for _, e := range l.held {
		if strings.TrimSuffix(e.part, e.suffix()) == body {
			l.emitObject(e)
			continue
		}
		kept = append(kept, e)
	}
	l.held = kept
}

// settle names the held objects that no directory can claim any more because
// the listing has passed the place where it would stand. A file and a link of
// the same name are settled together, since both wait for the same directory.
func (l *listing) settle(at string) {
	var kept []entry
	for i, e := range l.held {
		body := strings.TrimSuffix(e.part, e.suffix())
		switch {
		case at != "" && at <= body+"/":
			kept = append(kept, e)
		case e.kind == kindLink && (body == "" || holdsFile(l.held[:i], body)):
			l.emitObject(e)
		default:
			l.emitFile(e, body)
		}
	}
	l.held = kept
}

func holdsFile(held []entry, part string) bool {
	for _, e := range held {
		if e.kind == kindFile && e.part == part {
			return true
		}
	}
	return false
}

func (l *listing) emitFile(e entry, body string) {
	if piece, last, ok := l.piece(body); ok && last {
		l.emit(partName(piece), e)
		return
	}
	l.emitObject(e)
}

// emitObject shows an object under its exact key, as a plain file.
func (l *listing) emitObject(e entry) {
	e.kind = kindFile
	if piece, last, ok := l.piece(e.part); ok && last {
		l.emit(objectName(piece), e)
	}
}

func (l *listing) emit(name string, e entry) {
	l.entries = append(l.entries, cache.Named[entry]{Name: name, Entry: e})
}
