package snapshot

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Level is how closely Verify looks.
type Level string

// The levels.
const (
	ByListing Level = "list" // presence, size, ETag: one request for 1,000 objects
	ByHead    Level = "head" // and checksums: one request each
	ByReading Level = "read" // and every byte
)

// VerifyOptions say how closely to look, and at how much.
type VerifyOptions struct {
	Level  Level  // empty is ByListing
	Sample Sample // of ByHead and ByReading; all objects are listed in any case
	Repair bool   // make damaged copies anew, from the source or another snapshot
	DryRun bool   // with Repair: only tell what could be

	Progress *Progress // may be nil; Copied counts what was looked at
}

// Sample is part N of Of parts of the keys, the same on every run: parts 1/7 to
// 7/7 are everything. The zero Sample is everything.
type Sample struct{ N, Of int }

// takes says whether the key is in the sample.
func (p Sample) takes(key string) bool {
	if p.Of <= 1 {
		return true
	}
	h := fnv.New64a()
	io.WriteString(h, key) // cannot fail
	return int(h.Sum64()%uint64(p.Of)) == p.N%p.Of
}

// Verified is what Verify found.
type Verified struct {
	ID       ID
	Objects  int64     // looked at
	Bytes    int64     // of these
	Read     int64     // bytes read
	Unproven int64     // read whole, but there is no checksum to compare with
	Problems []Problem // damage, and foreign objects; the first maxNotes
	Damaged  int64     // objects that are missing or altered
	Foreign  int64
	Repaired int64
	Cost     Cost     // of a repair, in a dry run
	Segments []string // manifest segments that are missing or damaged, by name
}

// OK says whether the snapshot restores whole.
func (v *Verified) OK() bool { return v.Damaged == v.Repaired && len(v.Segments) == 0 }

// verification is one run of Verify.
type verification struct {
	s *Store
	o VerifyOptions
	m *Manifest // as it was when we began

	// Only for repair, which is one segment at a time.
	lease        *lease
	live, within *copier   // from the source, from another snapshot
	others       []*finder // of the other snapshots, when one is needed

	mu    sync.Mutex
	found Verified // guarded by mu
}

// Verify compares a snapshot with its manifest, following links. Damage is not
// an error but in what it returns.
func (s *Store) Verify(ctx context.Context, id ID, o VerifyOptions) (*Verified, error) {
	if o.Level == "" {
		o.Level = ByListing
	}
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	v := &verification{s: s, o: o, found: Verified{ID: id}}
	v.live, v.within = s.copier(s.source, s.dest, s.cfg.SourceName), s.copier(s.dest, s.dest, "")
	if !o.Repair || o.DryRun {
		found, err := v.run(ctx)
		if err != nil || found.OK() {
			return found, err
		}
		if moved, err := v.moved(ctx); err != nil || !moved {
			return found, err
		}
		return s.Verify(ctx, id, o)
	}
	var found *Verified
	err := s.locked(ctx, "repair "+string(id), func(ctx context.Context, l *lease) (err error) {
		v.lease = l
		found, err = v.run(ctx)
		return err
	})
	return found, err
}

// moved says whether a prune may have moved what was looked for, meanwhile.
func (v *verification) moved(ctx context.Context) (bool, error) {
	now, err := v.s.Load(ctx, v.m.ID)
	return err == nil && !slices.EqualFunc(now.Segments, v.m.Segments, SegmentRef.same), err
}

func (v *verification) run(ctx context.Context) (*Verified, error) {
	id := v.found.ID
	m, err := v.s.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	v.m = m
	if left := gaps(v.coverage(m)); len(left) > 0 {
		return nil, fmt.Errorf("%w: the manifest of %s says nothing of the keys after %q", ErrDamaged, id, left[0].after)
	}
	v.o.Progress.Listed.Store(m.Objects)
	v.o.Progress.ListedBytes.Store(m.Bytes)
	v.o.Progress.Copied.Store(0)
	v.o.Progress.CopiedBytes.Store(0)
	if v.o.Repair {
		return &v.found, v.repair(ctx)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(chunksAtOnce)
	for _, ref := range m.Segments {
		group.Go(func() error {
			seg, err := v.s.readSegment(ctx, id, ref)
			if errors.Is(err, ErrDamaged) {
				v.damagedSegment(ref)
				return nil
			}
			if err != nil {
				return err
			}
			_, err = v.audit(ctx, id, seg)
			return err
		})
	}
	err = group.Wait()
	return &v.found, err
}

// coverage is the spans that a manifest covers, with those that hold snapshots.
func (v *verification) coverage(m *Manifest) []span {
	var spans []span
	for _, ref := range m.Segments {
		spans = append(spans, ref.span())
	}
	return append(spans, m.leftOut()...)
}

func (v *verification) damagedSegment(ref SegmentRef) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.found.Segments = append(v.found.Segments, ref.Name)
	v.found.Damaged += ref.Objects
}

// audit looks at one segment and returns the keys that are damaged.
func (v *verification) audit(ctx context.Context, id ID, seg *segment) (map[string]bool, error) {
	problems, err := v.s.auditListing(ctx, id, seg)
	if err != nil {
		return nil, err
	}
	damaged := map[string]bool{}
	for _, p := range problems {
		if p.Fault != Foreign {
			damaged[p.Key] = true
		}
	}
	v.note(problems)
	if v.o.Level != ByListing {
		err = v.auditClosely(ctx, id, seg, damaged)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range seg.Entries {
		v.found.Objects++
		v.found.Bytes += e.Size
	}
	if v.o.Level == ByListing {
		v.o.Progress.Copied.Add(int64(len(seg.Entries)))
	}
	return damaged, err
}

func (v *verification) note(problems []Problem) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range problems {
		if p.Fault == Foreign {
			v.found.Foreign++
		} else {
			v.found.Damaged++
		}
		if len(v.found.Problems) < maxNotes {
			v.found.Problems = append(v.found.Problems, p)
		}
	}
}

// auditClosely looks at the objects of a segment one by one, adding to damaged.
func (v *verification) auditClosely(ctx context.Context, id ID, seg *segment, damaged map[string]bool) error {
	look := v.s.auditHead
	if v.o.Level == ByReading {
		look = v.auditContent
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	for _, e := range seg.Entries {
		if damaged[e.Key] || !v.o.Sample.takes(e.Key) {
			continue
		}
		group.Go(func() error {
			problems, err := look(ctx, e, v.s.at.place(id, e))
			v.o.Progress.Copied.Add(1)
			if err != nil || len(problems) == 0 {
				return err
			}
			v.note(problems)
			mu.Lock()
			defer mu.Unlock()
			damaged[e.Key] = true
			return nil
		})
	}
	return group.Wait()
}

// auditContent reads a copy and compares it with the best that is known of it:
// the CRC64NVME of the server or the MD5 that its ETag is.
func (v *verification) auditContent(ctx context.Context, e Entry, place string) ([]Problem, error) {
	var sums contentSums
	err := v.s.gate.do(ctx, func() (err error) {
		sums, err = readSums(ctx, v.s.dest, place, e)
		return err
	})
	switch {
	case errors.Is(err, s3.ErrNotFound):
		return []Problem{{e.Key, place, Missing, ""}}, nil
	case errors.Is(err, s3.ErrChanged), errors.Is(err, s3.ErrCorrupt):
		return []Problem{{e.Key, place, Altered, err.Error()}}, nil
	case err != nil:
		return nil, fmt.Errorf("reading the copy of %q: %w", e.Key, err)
	}
	v.o.Progress.CopiedBytes.Add(sums.size)
	problem, proven := sums.compare(e, place)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.found.Read += sums.size
	if !proven {
		v.found.Unproven++
	}
	return problem, nil
}

// contentSums is what was computed of a copy's bytes.
type contentSums struct {
	size     int64
	md5, crc string
	told     string // the checksum that the server told with the bytes
}

func readSums(ctx context.Context, bucket s3.Bucket, place string, e Entry) (contentSums, error) {
	body, err := bucket.Get(ctx, place, s3.GetOptions{IfMatch: e.copyETag()})
	if err != nil {
		return contentSums{}, err
	}
	defer body.Close()
	sum, crc := md5.New(), newCRC64NVME()
	n, err := io.Copy(io.MultiWriter(sum, crc), body)
	if err == nil && n != e.Size {
		err = &s3.Error{Op: s3.OpGet, Key: place, Kind: s3.ErrCorrupt, Err: fmt.Errorf("%d bytes instead of %d", n, e.Size)}
	}
	return contentSums{n, hex.EncodeToString(sum.Sum(nil)), crc.String(), body.Info.Checksum}, err
}

// compare finds what the sums contradict, and whether any confirmed the bytes.
// An ETag that looks like an MD5 may be none (KMS), so the MD5 only ever
// confirms where there is a checksum.
func (c contentSums) compare(e Entry, place string) (problems []Problem, proven bool) {
	for _, known := range []string{e.Checksum, c.told} {
		if checksumsDiffer(known, c.crc) {
			return []Problem{{e.Key, place, Altered, fmt.Sprintf("content has %s instead of %s", c.crc, known)}}, true
		}
		proven = proven || known == c.crc
	}
	if want, ok := md5ETag(e.ETag); ok && want == c.md5 {
		return nil, true
	}
	if want, ok := md5ETag(e.copyETag()); ok && !proven {
		if want == c.md5 {
			return nil, true
		}
		if e.ETag == e.copyETag() { // it survived a copy, so it is an MD5
			return []Problem{{e.Key, place, Altered, fmt.Sprintf("content has the MD5 %s instead of %s", c.md5, want)}}, true
		}
	}
	return nil, proven
}
