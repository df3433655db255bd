package snapshot

import (
	"context"

	"github.com/cgs3fs/cgs3fs/s3"
)

// safety snapshots what the restore is going to replace or delete.
func (r *restoration) safety(ctx context.Context) error {
	dry := &restoration{s: r.s, m: r.m, o: r.o, to: r.to, scope: r.scope, done: Restored{}}
	o := CreateOptions{
		Comment: "before restore of " + string(r.m.ID), From: commonPrefix(r.o.Paths), Incremental: true, AllowPublic: true,
		narrow: func(ctx context.Context, b batch) ([]s3.Object, error) { return dry.changing(ctx, b) },
	}
	made, err := r.s.Create(ctx, o)
	if err == nil && made != nil {
		r.done.Safety = made.ID
	}
	return err
}

// changing returns those objects of a batch that the restore would not leave.
func (r *restoration) changing(ctx context.Context, b batch) ([]s3.Object, error) {
	entries, err := r.s.entriesIn(ctx, r.m, b.span)
	if err != nil {
		return nil, err
	}
	var changing []s3.Object
	for _, o := range b.objects {
		for len(entries) > 0 && entries[0].Key < o.Key {
			entries = entries[1:]
		}
		p := pair[Entry, s3.Object]{key: o.Key, b: o, inB: true}
		if len(entries) > 0 && entries[0].Key == o.Key {
			p.a, p.inA = entries[0], true
		}
		what, err := r.decide(ctx, p)
		if err != nil {
			return nil, err
		}
		if what == replace || what == remove {
			changing = append(changing, o)
		}
	}
	return changing, nil
}
