package snapshot

import (
	"context"
	"iter"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Kind is how an object differs.
type Kind string

// The kinds of differences from one state to a later one.
const (
	Added     Kind = "added"
	Removed   Kind = "removed"
	Modified  Kind = "modified"
	Rewritten Kind = "rewritten" // the same bytes, written again: perhaps with other metadata
)

// Change is one difference. Before is zero for Added, After for Removed.
type Change struct {
	Kind          Kind
	Key           string
	Before, After Entry
}

// Diff yields what is different in b from a, below a prefix, in key order. With b
// nil it compares with what the source holds now, as far as a would have taken
// it.
func (s *Store) Diff(ctx context.Context, a, b *Manifest, prefix string) iter.Seq2[Change, error] {
	left := under(s.entriesFrom(ctx, a, before(prefix)), prefix)
	right := s.liveEntries(ctx, a, prefix)
	if b != nil {
		right = under(s.entriesFrom(ctx, b, before(prefix)), prefix)
	}
	return func(yield func(Change, error) bool) {
		for p, err := range merge(left, entryKey, right, entryKey) {
			if err != nil {
				yield(Change{}, err)
				return
			}
			c := Change{Key: p.key, Before: p.a, After: p.b}
			switch {
			case !p.inA:
				c.Kind = Added
			case !p.inB:
				c.Kind = Removed
			case p.a.sameVersion(p.b):
				continue
			case p.a.sameContent(p.b):
				c.Kind = Rewritten
			default:
				c.Kind = Modified
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// sameContent says whether two entries certainly have the same bytes: a
// multipart object and its copy have different ETags, and both name them.
func (e Entry) sameContent(f Entry) bool {
	if e.Size != f.Size {
		return false
	}
	if e.Checksum != "" && e.Checksum == f.Checksum {
		return true
	}
	return e.ETag == f.ETag || e.ETag == f.copyETag() || e.copyETag() == f.ETag
}

// before is a string that no key with the prefix is up to, but the prefix itself.
func before(prefix string) string {
	if prefix == "" {
		return ""
	}
	return prefix[:len(prefix)-1]
}

// under narrows entries to those with a prefix.
func under(entries iter.Seq2[Entry, error], prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for e, err := range entries {
			if err == nil && !strings.HasPrefix(e.Key, prefix) {
				if e.Key > prefix {
					return
				}
				continue
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// liveEntries yields what the source holds now of what m would have taken.
func (s *Store) liveEntries(ctx context.Context, m *Manifest, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		scope, err := s.scopeOf(ctx, m, s.source)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		for o, err := range scope.objects(ctx, s.source, prefix) {
			if err == nil && !scope.holds(o.Key) {
				continue
			}
			if !yield(entryOf(o), err) || err != nil {
				return
			}
		}
	}
}

// scope is what a snapshot is about, in some bucket: keys outside it are neither
// in it nor missing from it.
type scope struct {
	from    string
	filter  Filter
	leftOut []string // prefixes that were snapshots', when it was made: it says nothing of them
	own     []string // prefixes of snapshots in the bucket
}

func (s *Store) scopeOf(ctx context.Context, m *Manifest, bucket s3.Bucket) (scope, error) {
	filter, err := newFilter(m.Filter)
	if err != nil {
		return scope{}, err
	}
	ids, err := controlIDs(ctx, control{bucket}, s.at)
	return scope{m.From, filter, m.LeftOut, s.prefixesOf(ids)}, err
}

func (c scope) holds(key string) bool {
	return strings.HasPrefix(key, c.from) && c.filter.Match(key) && !hasAnyPrefix(key, c.leftOut) && !c.isOwn(key)
}

// isOwn says whether a key belongs to a snapshot.
func (c scope) isOwn(key string) bool { return hasAnyPrefix(key, c.own) }

func hasAnyPrefix(key string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// objects lists a bucket below a prefix, passing over the snapshots in it.
func (c scope) objects(ctx context.Context, bucket s3.Bucket, prefix string) iter.Seq2[s3.Object, error] {
	return func(yield func(s3.Object, error) bool) {
		for _, gap := range gaps(belowAll(c.own)) {
			if within := below(prefix); prefix != "" && (gap.after >= within.through || gap.through != "" && gap.through < prefix) {
				continue
			}
			for o, err := range listing(ctx, bucket, prefix, gap.after) {
				if err == nil && !gap.contains(o.Key) {
					break
				}
				if err == nil && c.isOwn(o.Key) {
					continue
				}
				if !yield(o, err) || err != nil {
					return
				}
			}
		}
	}
}

func objectKey(o s3.Object) string { return o.Key }
