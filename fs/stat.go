package fs

import (
	"context"
	"errors"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
)

// errNoName means that a name is not there, or can't be.
var errNoName = s3.ErrNotFound

// nearby is how many keys that begin with a name one listing asks for, when it
// looks for the file, the directory and the link of that name at once. The
// three nearly always are among the first few.
const nearby = 50

// stat tells what a name is and how much longer that holds. What is known is
// answered without a request; otherwise one listing tells as much of the
// directory as fits a page, so that the next names cost nothing.
func (f *FS) stat(ctx context.Context, dir *node, name string) (entry, time.Duration, error) {
	prefix, ok := f.tree.key(dir)
	if !ok {
		return entry{}, 0, errNoName
	}
	part, form, ok := parseName(name)
	if !ok {
		return entry{}, 0, errNoName
	}
	e, left, verdict := f.lookup(prefix, name)
	if verdict == cache.Unknown && f.fitsPage(prefix) {
		if _, err := f.firstPage(ctx, prefix, dir.lead); err != nil {
			return entry{}, 0, err
		}
		e, left, verdict = f.lookup(prefix, name)
	}
	switch verdict {
	case cache.Absent:
		if e, ok := f.snapshotsDir(dir, name); ok {
			return e, f.cfg.TTL, nil
		}
		return entry{}, left, errNoName
	case cache.Unknown:
		scan := f.names.Begin(prefix)
		defer scan.Cancel()
		var err error
		if e, err = f.find(ctx, prefix, dir.lead, name, part, form); err != nil {
			if virtual, ok := f.snapshotsDir(dir, name); ok && errors.Is(err, s3.ErrNotFound) {
				return virtual, f.cfg.TTL, nil
			}
			return f.missing(scan, name, err)
		}
		scan.Found(name, e)
		left = f.cfg.TTL
	}
	if !f.wantsPosix(e) {
		return e, left, nil
	}
	scan := f.names.Begin(prefix)
	defer scan.Cancel()
	e, err := f.withPosix(ctx, prefix, e)
	if err != nil {
		return f.missing(scan, name, err)
	}
	scan.Found(name, e)
	return e, left, nil
}

// lookup is what is remembered of a name. That it is not there holds for
// NegativeTTL only: a file that somebody else has just written is looked for
// sooner than a changed one, whose open asks the bucket anyway.
func (f *FS) lookup(prefix, name string) (entry, time.Duration, cache.Verdict) {
	e, left, v := f.names.Lookup(prefix, name)
	if v == cache.Absent {
		if left -= f.cfg.TTL - f.cfg.NegativeTTL; left <= 0 {
			return e, 0, cache.Unknown
		}
	}
	return e, left, v
}

// fitsPage tells whether one page of a listing may tell all of a directory.
func (f *FS) fitsPage(prefix string) bool {
	if f.cfg.TTL == 0 || f.names.Partial(prefix) {
		return false
	}
	names, _, ok := f.names.Dir(prefix)
	return !ok || len(names) < s3.MaxPage
}

// missing remembers that a name is not there, if that is what the error says.
func (f *FS) missing(scan *cache.Scan[entry], name string, err error) (entry, time.Duration, error) {
	if !errors.Is(err, s3.ErrNotFound) {
		return entry{}, 0, err
	}
	scan.Missing(name)
	return entry{}, f.cfg.NegativeTTL, errNoName
}

// firstPage lists the beginning of a directory, which nearly always is all of it.
func (f *FS) firstPage(ctx context.Context, prefix, lead string) ([]cache.Named[entry], error) {
	scan := f.names.Begin(prefix)
	defer scan.Cancel()
	p, err := f.bucket.ListPage(ctx, s3.ListInput{Prefix: prefix, Delimiter: "/"})
	if err != nil {
		return nil, err
	}
	l := newListing(prefix, lead)
	l.add(p)
	if p.Next != "" {
		scan.Partial(l.entries)
		return l.entries, nil
	}
	scan.Done(l.finish())
	return l.entries, nil
}

// find asks the bucket about one name.
func (f *FS) find(ctx context.Context, prefix, lead, name, part string, form form) (entry, error) {
	in := s3.ListInput{Prefix: prefix + part, Delimiter: "/", Max: nearby}
	if form == formLong {
		in.Delimiter, in.Max = "", 1
	}
	p, err := f.bucket.ListPage(ctx, in)
	if err != nil {
		return entry{}, err
	}
	if form == formLong {
		if len(p.Objects) == 0 {
			return entry{}, errNoName
		}
		return entry{kind: kindDir, part: part}, nil
	}
	if p.Next != "" {
		if p, err = f.threeOf(ctx, prefix+part); err != nil {
			return entry{}, err
		}
	}
	l := newListing(prefix, lead)
	l.add(p)
	for _, n := range l.finish() {
		if n.Name == name {
			return n.Entry, nil
		}
	}
	return entry{}, errNoName
}

// threeOf is the page that a listing would have if nothing but the file, the
// directory and the link of one name were there.
func (f *FS) threeOf(ctx context.Context, key string) (s3.Page, error) {
	var file, link []s3.Object
	var dir []string
	g, ctx := errgroup.WithContext(ctx)
	head := func(key string, into *[]s3.Object) func() error {
		return func() error {
			info, err := f.bucket.Head(ctx, key)
			if errors.Is(err, s3.ErrNotFound) {
				return nil
			}
			*into = append(*into, info.Object)
			return err
		}
	}
	g.Go(head(key, &file))
	if !strings.HasSuffix(key, linkSuffix) {
		g.Go(head(key+linkSuffix, &link))
	}
	g.Go(func() error {
		p, err := f.bucket.ListPage(ctx, s3.ListInput{Prefix: key + "/", Max: 1})
		if err == nil && len(p.Objects) > 0 {
			dir = append(dir, key+"/")
		}
		return err
	})
	err := g.Wait()
	return s3.Page{Objects: append(file, link...), Prefixes: dir}, err
}

// wantsPosix tells whether an entry lacks what its object's metadata says, and
// the mount is to know.
func (f *FS) wantsPosix(e entry) bool {
	return f.cfg.Posix && e.posix == nil && (e.kind != kindDir || strings.HasSuffix(e.part, "/"))
}

// withPosix adds what the object's metadata says. A directory without a marker
// object has none; a file without an object is errNoName.
func (f *FS) withPosix(ctx context.Context, prefix string, e entry) (entry, error) {
	info, err := f.bucket.Head(ctx, prefix+e.part)
	if errors.Is(err, s3.ErrNotFound) && e.kind == kindDir {
		e.posix = &posix{}
		return e, nil
	}
	if err != nil {
		return e, err
	}
	p := parsePosix(info.Metadata)
	e.posix = &p
	if e.kind != kindDir {
		e.size, e.etag, e.mtime = info.Size, info.ETag, info.LastModified
	}
	return e, nil
}
