package snapshot

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Fault is the kind of a Problem.
type Fault string

// The faults. A foreign object harms nothing; it is told because other tools
// that copy the dated prefix take it along.
const (
	Missing Fault = "missing"
	Altered Fault = "altered" // other size, ETag, checksum or content than recorded
	Foreign Fault = "foreign" // below the dated prefix, and not of the snapshot
)

// Problem is something that is not as a manifest says.
type Problem struct {
	Key   string // as in the source
	Place string // of the copy, in the destination bucket
	Fault Fault
	Text  string // what was expected and found
}

// auditListing compares the objects of one segment with what the bucket lists:
// presence, size and ETag, of links at their owners. It also finds what does not
// belong below the segment's own dated prefix.
func (s *Store) auditListing(ctx context.Context, id ID, seg *segment) ([]Problem, error) {
	var problems []Problem
	for _, owner := range append([]ID{""}, seg.owners()...) {
		found, err := s.auditOwner(ctx, id, owner, seg)
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	for _, e := range seg.Entries {
		if place := s.at.place(id, e); s.isLong(id, e) {
			p, err := s.auditHead(ctx, e, place)
			if err != nil {
				return nil, err
			}
			problems = append(problems, p...)
		}
	}
	return problems, nil
}

func (s *Store) isLong(id ID, e Entry) bool {
	if e.Owner != "" {
		id = e.Owner
	}
	_, long := s.at.object(id, e.Key)
	return long
}

// auditOwner compares those entries whose copies owner holds; empty is the
// snapshot itself.
func (s *Store) auditOwner(ctx context.Context, id, owner ID, seg *segment) ([]Problem, error) {
	holder := id
	if owner != "" {
		holder = owner
	}
	next, stop := iter.Pull2(s.copiesIn(ctx, holder, seg.span()))
	defer stop()
	var problems []Problem
	there, err, more := next()
	for _, e := range seg.Entries {
		if e.Owner != owner || s.isLong(id, e) {
			continue
		}
		place := s.at.place(id, e)
		for ; more && err == nil && there.Key < place; there, err, more = next() {
			problems = s.addForeign(problems, owner, holder, there)
		}
		if err != nil {
			return nil, err
		}
		if !more || there.Key != place {
			problems = append(problems, Problem{e.Key, place, Missing, fmt.Sprintf("%d bytes, %s", e.Size, e.copyETag())})
			continue
		}
		problems = append(problems, compareListed(e, place, there)...)
		there, err, more = next()
	}
	for ; more && err == nil; there, err, more = next() {
		problems = s.addForeign(problems, owner, holder, there)
	}
	return problems, err
}

func (s *Store) addForeign(problems []Problem, owner, holder ID, o s3.Object) []Problem {
	if owner != "" {
		return problems // of no concern to who links
	}
	key := o.Key[len(s.at.objects(holder)):]
	return append(problems, Problem{key, o.Key, Foreign, fmt.Sprintf("%d bytes, %s", o.Size, o.ETag)})
}

// copiesIn yields what lies below a snapshot's dated prefix for the keys of a
// span.
func (s *Store) copiesIn(ctx context.Context, id ID, in span) iter.Seq2[s3.Object, error] {
	return func(yield func(s3.Object, error) bool) {
		prefix := s.at.objects(id)
		after := prefix + in.after
		if in.after == "" {
			after = ""
		}
		for o, err := range listing(ctx, s.dest, prefix, after) {
			if err == nil && !in.contains(o.Key[len(prefix):]) {
				if o.Key == prefix { // somebody's marker of the directory itself
					continue
				}
				return
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

func compareListed(e Entry, place string, o s3.Object) []Problem {
	if o.Size == e.Size && o.ETag == e.copyETag() {
		return nil
	}
	text := fmt.Sprintf("%d bytes, %s instead of %d bytes, %s", o.Size, o.ETag, e.Size, e.copyETag())
	return []Problem{{e.Key, place, Altered, text}}
}

// auditHead looks at one copy by itself, with its checksum if both sides have
// one of the same kind.
func (s *Store) auditHead(ctx context.Context, e Entry, place string) ([]Problem, error) {
	var info s3.Info
	err := s.gate.do(ctx, func() (err error) {
		info, err = s.dest.Head(ctx, place)
		return err
	})
	if errors.Is(err, s3.ErrNotFound) {
		return []Problem{{e.Key, place, Missing, fmt.Sprintf("%d bytes, %s", e.Size, e.copyETag())}}, nil
	}
	if err != nil {
		return nil, err
	}
	if problems := compareListed(e, place, info.Object); problems != nil {
		return problems, nil
	}
	if checksumsDiffer(e.Checksum, info.Checksum) {
		return []Problem{{e.Key, place, Altered, fmt.Sprintf("checksum %s instead of %s", info.Checksum, e.Checksum)}}, nil
	}
	return nil, nil
}
