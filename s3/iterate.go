package s3

import (
	"context"
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
