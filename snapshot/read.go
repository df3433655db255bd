package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sort"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// readSegment reads one segment of a snapshot and checks that it is the one that
// the manifest means.
func (s *Store) readSegment(ctx context.Context, id ID, ref SegmentRef) (*segment, error) {
	key := s.at.dir(id) + ref.Name
	data, _, err := s.control.read(ctx, key)
	if errors.Is(err, s3.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	if sum256(data) != ref.SHA256 {
		return nil, fmt.Errorf("%w: %s is not what was written (SHA-256 differs)", ErrDamaged, key)
	}
	seg, err := decodeSegment(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	return seg, nil
}

// readPlan reads a plan, or a segment that no manifest refers to.
func (s *Store) readPlan(ctx context.Context, key string) (*segment, error) {
	data, _, err := s.control.read(ctx, key)
	if err != nil {
		return nil, err
	}
	seg, err := decodeSegment(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	return seg, nil
}

// Entries yields the objects of a snapshot in key order, with one segment in
// memory at a time. After an error there are no more.
func (s *Store) Entries(ctx context.Context, m *Manifest) iter.Seq2[Entry, error] {
	return s.entriesFrom(ctx, m, "")
}

// entriesFrom is Entries for the keys after one.
func (s *Store) entriesFrom(ctx context.Context, m *Manifest, after string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, ref := range m.Segments {
			if ref.Objects == 0 || ref.Through != "" && ref.Through <= after {
				continue
			}
			seg, err := s.readSegment(ctx, m.ID, ref)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range seg.Entries {
				if e.Key > after && !yield(e, nil) {
					return
				}
			}
		}
	}
}

// entriesIn reads the entries within one span.
func (s *Store) entriesIn(ctx context.Context, m *Manifest, in span) ([]Entry, error) {
	var entries []Entry
	for e, err := range s.entriesFrom(ctx, m, in.after) {
		if err != nil {
			return nil, err
		}
		if !in.contains(e.Key) {
			break
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// finder looks entries up by key. It keeps the segment that it read last, so
// looking up in key order reads each segment once. It is for one goroutine.
type finder struct {
	store *Store
	m     *Manifest
	seg   *segment
	at    int // index of seg's reference
}

func (s *Store) finder(m *Manifest) *finder { return &finder{store: s, m: m, at: -1} }

func (f *finder) find(ctx context.Context, key string) (Entry, bool, error) {
	refs := f.m.Segments
	i := sort.Search(len(refs), func(i int) bool { return refs[i].Through == "" || refs[i].Through >= key })
	if i == len(refs) || !refs[i].span().contains(key) || refs[i].Objects == 0 {
		return Entry{}, false, nil
	}
	if i != f.at {
		seg, err := f.store.readSegment(ctx, f.m.ID, refs[i])
		if err != nil {
			return Entry{}, false, err
		}
		f.seg, f.at = seg, i
	}
	entries := f.seg.Entries
	j, found := sort.Find(len(entries), func(j int) int { return strings.Compare(key, entries[j].Key) })
	if !found {
		return Entry{}, false, nil
	}
	return entries[j], true, nil
}

// listing yields the objects below prefix after a key, in order, page by page.
// It fails with ErrCorrupt where the server's order is not that of bytes.
func listing(ctx context.Context, bucket s3.Bucket, prefix, after string) iter.Seq2[s3.Object, error] {
	return func(yield func(s3.Object, error) bool) {
		in := s3.ListInput{Prefix: prefix, StartAfter: startAfter(after)}
		last := after
		for {
			page, err := bucket.ListPage(ctx, in)
			if err != nil {
				yield(s3.Object{}, err)
				return
			}
			for _, o := range page.Objects {
				if o.Key <= last {
					if last == after {
						continue
					}
					yield(s3.Object{}, outOfOrder(o.Key, last))
					return
				}
				last = o.Key
				if !yield(o, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			in.Token = page.Next
		}
	}
}

func outOfOrder(key, last string) error {
	return &s3.Error{
		Op: s3.OpList, Key: key, Kind: s3.ErrCorrupt,
		Err: fmt.Errorf("this server lists %q after %q, not in the order of bytes, on which completeness rests", key, last),
	}
}
