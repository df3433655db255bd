package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cgs3fs/cgs3fs/s3"
)

// skip takes an entry out of the segment, which dropSkipped does at the end.
func (ch *chunk) skip(at int, note Note) {
	ch.seg.Notes = append(ch.seg.Notes, note)
	ch.seg.Entries[at].Size = -1
	if note.Why.skipped() {
		ch.progress.Skipped.Add(1)
	}
}

// dropSkipped takes out what was skipped, and deletes what an earlier attempt may
// have put in its place.
func (ch *chunk) dropSkipped(ctx context.Context) error {
	kept := ch.seg.Entries[:0]
	var dropped []s3.Target
	for _, e := range ch.seg.Entries {
		if e.Size < 0 {
			place, _ := ch.s.at.object(ch.id, e.Key)
			dropped = append(dropped, s3.Target{Key: place})
			continue
		}
		e.Again = false
		kept = append(kept, e)
	}
	ch.seg.Entries = kept
	if len(dropped) == 0 {
		return nil
	}
	if err := ch.lease.check(); err != nil {
		return err
	}
	return ch.s.dest.Delete(ctx, dropped...)
}

// replan looks at the source anew for entries that changed, and writes the plan
// with their new versions before these may be copied.
func (ch *chunk) replan(ctx context.Context, changed []int, last bool) (todo []int, err error) {
	for _, at := range changed {
		e := &ch.seg.Entries[at]
		info, err := ch.s.source.Head(ctx, e.Key)
		switch {
		case errors.Is(err, s3.ErrNotFound) && strings.ContainsRune(e.Key, utf8.RuneError):
			ch.skip(at, Note{e.Key, Unnamed, ""})
		case errors.Is(err, s3.ErrNotFound):
			ch.skip(at, Note{e.Key, Vanished, ""})
		case errors.Is(err, s3.ErrDenied):
			ch.skip(at, Note{e.Key, Denied, err.Error()})
		case err != nil:
			return nil, fmt.Errorf("looking again at %q: %w", e.Key, err)
		case last:
			ch.skip(at, Note{e.Key, Busy, ""})
		default:
			key := e.Key
			*e = entryOf(info.Object)
			e.Key, e.Again = key, true
			ch.seg.Notes = append(ch.seg.Notes, Note{key, Changed, ""})
			todo = append(todo, at)
		}
	}
	if len(todo) == 0 {
		return nil, nil
	}
	return todo, ch.writePlan(ctx)
}

// writePlan makes the plan durable. What was skipped is left out: a later run
// meets it as something that vanished.
func (ch *chunk) writePlan(ctx context.Context) error {
	if err := ch.lease.check(); err != nil {
		return err
	}
	plan := segment{header: ch.seg.header}
	for _, e := range ch.seg.Entries {
		if e.Size >= 0 {
			plan.Entries = append(plan.Entries, e)
		}
	}
	_, err := ch.write(ctx, ch.s.at.plans(ch.id)+numbered(ch.n), plan)
	return err
}

func (ch *chunk) write(ctx context.Context, key string, seg segment) (sum string, err error) {
	data, err := seg.encode(ch.s.zips)
	if err != nil {
		return "", err
	}
	o := s3.PutOptions{Attributes: s3.Attributes{ContentType: gzipType}}
	_, err = ch.s.dest.Put(ctx, key, bytes.NewReader(data), o)
	return sum256(data), err
}

// writeSegment records that all of the chunk is done.
func (ch *chunk) writeSegment(ctx context.Context) error {
	if err := ch.lease.check(); err != nil {
		return err
	}
	// The run is in the name so that one that lost its claim without knowing
	// cannot write over its successor's file.
	name := "seg/" + strings.Replace(numbered(ch.n), ".", "-"+ch.run+".", 1)
	sum, err := ch.write(ctx, ch.s.at.dir(ch.id)+name, ch.seg)
	if err != nil {
		return err
	}
	ch.add(ch.n, ch.seg.ref(name, sum), ch.seg.header)
	return nil
}

func (c *creation) add(n int, ref SegmentRef, head header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refs[n], c.heads[n] = ref, head
}

// ref is how a manifest refers to the segment.
func (s *segment) ref(name, sum string) SegmentRef {
	r := SegmentRef{Name: name, SHA256: sum, After: string(s.After), Through: string(s.Thru), Owners: s.owners()}
	for _, e := range s.Entries {
		r.Objects++
		r.Bytes += e.Size
		if e.Owner == "" {
			r.Own++
			r.OwnBytes += e.Size
		}
	}
	return r
}
