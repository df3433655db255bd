package s3

import (
	"context"
	"errors"
	"iter"
)

// List returns all objects whose key begins with prefix, in key order. It reads
// one page ahead of the caller. After an error, which comes with a zero Object,
// it ends.
func List(ctx context.Context, b Bucket, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		next := fetch(ctx, b, ListInput{Prefix: prefix})
		defer func() {
			cancel()
			if next != nil {
				<-next // whoever starts a goroutine waits for it
			}
		}()
		for next != nil {
			got := <-next
			next = nil
			if got.err != nil {
				yield(Object{}, got.err)
				return
			}
			if got.page.Next != "" {
				next = fetch(ctx, b, ListInput{Prefix: prefix, Token: got.page.Next})
			}
			for _, o := range got.page.Objects {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}

type fetched struct {
	page Page
	err  error
}

// fetch reads a page in the background.
func fetch(ctx context.Context, b Bucket, in ListInput) <-chan fetched {
	out := make(chan fetched, 1)
	go func() {
		page, err := b.ListPage(ctx, in)
		out <- fetched{page, err}
	}()
	return out
}

// AbortEmpty gives up those of the uploads that have no part, and returns how
// many that were. An upload whose begin was never answered has none, for nobody
// knows its id.
func AbortEmpty(ctx context.Context, b Bucket, pending ...PendingUpload) (aborted int, err error) {
	for _, p := range pending {
		u, err := b.ResumeUpload(ctx, p.Key, p.ID, PutOptions{})
		switch {
		case errors.Is(err, ErrNoUpload):
			continue
		case err != nil:
			return aborted, err
		case len(u.Parts()) > 0:
			continue
		}
		if err := u.Abort(ctx); err != nil {
			return aborted, err
		}
		aborted++
	}
	return aborted, nil
}
