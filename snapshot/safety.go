package snapshot

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/cgs3fs/cgs3fs/s3"
)

// safety snapshots what the restore is going to replace or delete, or finishes
// what the same restore began to before it was interrupted.
func (r *restoration) safety(ctx context.Context) error {
	which, err := json.Marshal([]any{r.m.ID, r.o.ToPrefix, r.o.Paths, r.o.Delete, r.o.Overwrite})
	if err != nil {
		return err
	}
	dry := &restoration{s: r.s, m: r.m, o: r.o, to: r.to, scope: r.scope, done: Restored{}}
	o := CreateOptions{
		Comment: "before restore of " + string(r.m.ID), From: r.o.ToPrefix + commonPrefix(r.o.Paths), Incremental: true, AllowPublic: true,
		narrow: func(ctx context.Context, b batch) ([]s3.Object, error) { return dry.changing(ctx, b) },
		before: string(which),
	}
	made, err := r.s.Create(ctx, o)
	if err == nil && made != nil {
		r.done.Safety = made.ID
		r.keptIn = r.s.finder(made.Manifest)
	}
	return err
}

// kept says whether what is at the target may be replaced or deleted: if it is
// to be kept first, it must be in the safety snapshot in this very version.
// What somebody wrote since is in none.
func (r *restoration) kept(ctx context.Context, p pair[Entry, s3.Object]) (bool, error) {
	if !p.inB || r.o.DryRun || !r.safetyWanted() {
		return true, nil
	}
	if r.keptIn == nil {
		return false, nil
	}
	e, found, err := r.keptIn.find(ctx, r.o.ToPrefix+p.key)
	return found && e.ETag == p.b.ETag && e.Size == p.b.Size, err
}

// changing returns those objects of a batch that the restore would not leave.
func (r *restoration) changing(ctx context.Context, b batch) ([]s3.Object, error) {
	objects := slices.DeleteFunc(b.objects, func(o s3.Object) bool { return o.Key == r.o.ToPrefix }) // has no key in the snapshot
	if len(objects) == 0 {
		return nil, nil
	}
	key := func(i int) string { return objects[i].Key[len(r.o.ToPrefix):] }
	entries, err := r.s.entriesIn(ctx, r.m, span{before(key(0)), key(len(objects) - 1)})
	if err != nil {
		return nil, err
	}
	var changing []s3.Object
	for i, o := range objects {
		p := pair[Entry, s3.Object]{key: key(i), b: o, inB: true}
		p.b.Key = p.key
		for len(entries) > 0 && entries[0].Key < p.key {
			entries = entries[1:]
		}
		if len(entries) > 0 && entries[0].Key == p.key {
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
