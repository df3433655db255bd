package snapshot

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// outcome is what became of one attempt to copy an entry.
type outcome int

const (
	isCopied outcome = iota
	isChanged
	isSkipped
)

// copyEntries copies entries and returns the indexes of those that changed.
func (ch *chunk) copyEntries(ctx context.Context, todo []int) (changed []int, err error) {
	outcomes := make([]outcome, len(todo))
	notes := make([]Note, len(todo))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	for i, at := range todo {
		group.Go(func() (err error) {
			outcomes[i], notes[i], err = ch.copyEntry(ctx, &ch.seg.Entries[at])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, at := range todo {
		switch outcomes[i] {
		case isChanged:
			changed = append(changed, at)
		case isSkipped:
			ch.skip(at, notes[i])
		}
	}
	return changed, nil
}

// copyEntry makes one copy of the very version that the entry names.
func (ch *chunk) copyEntry(ctx context.Context, e *Entry) (outcome, Note, error) {
	if err := ch.lease.check(); err != nil {
		return 0, Note{}, err
	}
	var to place
	to.key, _ = ch.s.at.object(ch.id, e.Key)
	done, err := ch.copier.copy(ctx, version{e.Key, e.ETag, e.Size, e.StorageClass}, to)
	switch {
	case err == nil:
		if done.tagsLost {
			ch.tagsLost.Add(1)
		}
		ch.progress.Copied.Add(1)
		ch.progress.CopiedBytes.Add(e.Size)
		*e = e.resultOf(done.Info)
		return isCopied, Note{}, nil
	case errors.Is(err, s3.ErrChanged), errors.Is(err, s3.ErrNotFound):
		return ch.lostAnswer(ctx, e, to.key)
	case errors.Is(err, s3.ErrDenied):
		return isSkipped, Note{e.Key, Denied, err.Error()}, nil
	case errors.Is(err, s3.ErrArchived):
		return isSkipped, Note{e.Key, Archived, ""}, nil
	}
	return 0, Note{}, fmt.Errorf("copying %q: %w", e.Key, err)
}

// lostAnswer looks whether a copy that seems to have met a change was made
// before, by an attempt whose answer got lost: then a copy is in its place, and
// nothing but the planned version can be.
func (ch *chunk) lostAnswer(ctx context.Context, e *Entry, key string) (outcome, Note, error) {
	if e.Again {
		return isChanged, Note{}, nil
	}
	info, err := ch.s.dest.Head(ctx, key)
	switch {
	case errors.Is(err, s3.ErrNotFound):
		return isChanged, Note{}, nil
	case err != nil:
		return 0, Note{}, err
	case !ch.couldBe(e, info.Object):
		return isChanged, Note{}, nil
	}
	*e = e.resultOf(info)
	ch.progress.Kept.Add(1)
	return isCopied, Note{}, nil
}

// couldBe says whether what lies at an entry's place may be its copy. The plan
// rules out all else but objects of a stranger, who shows by the MD5 where ETags
// are such.
func (ch *chunk) couldBe(e *Entry, o s3.Object) bool {
	if o.Size != e.Size {
		return false
	}
	want, isMD5 := md5ETag(e.ETag)
	got, gotMD5 := md5ETag(o.ETag)
	return !ch.lease.md5ETags || !isMD5 || !gotMD5 || want == got
}
