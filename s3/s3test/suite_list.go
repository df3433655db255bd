package s3test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

func sorted(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return keys
}

var errWhy = errors.New("the test says so")

func newCanceled(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	cancel(errWhy)
	return ctx, func() { cancel(nil) }
}

// putAll stores an empty object under each key.
func (s *suite) putAll(keys []string) {
	s.Helper()
	group, ctx := errgroup.WithContext(s.Context())
	group.SetLimit(16)
	for _, key := range keys {
		group.Go(func() error {
			_, err := s.Put(ctx, key, strings.NewReader(""), s3.PutOptions{})
			return err
		})
	}
	s.ok(group.Wait())
}

func numbered(format string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(format, i)
	}
	return keys
}

func testListOrder(s *suite) {
	keys := []string{"B", "Z", "a", "a b", "b", "b-c", "b.c", "c-x/y", "c.x/y", "c/x", "c!/y", "c0", "ä", "é", "zz", "日本"}
	s.putAll(keys)
	got, _ := s.list(s3.ListInput{})
	s.equal("keys", got, sorted(keys))
	got, prefixes := s.list(s3.ListInput{Delimiter: "/"})
	s.equal("keys of the top", got, slices.DeleteFunc(sorted(keys), func(k string) bool { return strings.Contains(k, "/") }))
	s.equal("prefixes of the top", prefixes, []string{"c!/", "c-x/", "c.x/", "c/"})
	got, _ = s.list(s3.ListInput{Prefix: "b"})
	s.equal("keys with a prefix", got, []string{"b", "b-c", "b.c"})
}

func testManyKeys(s *suite) {
	n := cmp.Or(s.features.LongListing, 2500)
	keys := numbered("key%04d", n)
	s.putAll(keys)
	got, _ := s.list(s3.ListInput{})
	s.equal("all keys", got, keys)
	page, err := s.ListPage(s.Context(), s3.ListInput{})
	s.ok(err)
	s.equal("entries of a full page", len(page.Objects), min(n, s3.MaxPage))
	for _, size := range []int{7, n - 1, n, n + 1} {
		got, _ = s.list(s3.ListInput{Max: size})
		s.equal(fmt.Sprintf("keys by %d", size), got, keys)
	}
	got, _ = s.list(s3.ListInput{Prefix: "key001", Max: 1})
	s.equal("keys one by one", got, keys[10:20])

	s.put("stays", "x")
	targets := []s3.Target{{Key: "missing"}}
	for _, key := range keys {
		targets = append(targets, s3.Target{Key: key})
	}
	s.ok(s.Delete(s.Context(), targets...))
	got, _ = s.list(s3.ListInput{})
	s.equal("keys left", got, []string{"stays"})
}

func testListDelimiterPages(s *suite) {
	var keys, wantKeys, wantPrefixes []string
	for i := range 40 {
		switch i % 4 {
		case 0:
			wantKeys = append(wantKeys, fmt.Sprintf("top/f%02d", i))
		default:
			wantPrefixes = append(wantPrefixes, fmt.Sprintf("top/f%02d/", i))
			for j := range 7 { // more keys below a prefix than fit a page
				keys = append(keys, fmt.Sprintf("top/f%02d/%d", i, j))
			}
		}
	}
	s.putAll(append(keys, wantKeys...))
	s.putAll([]string{"other", "top.txt"})
	for _, size := range []int{0, 1, 2, 3, 5, 39, 40} {
		gotKeys, gotPrefixes := s.list(s3.ListInput{Prefix: "top/", Delimiter: "/", Max: size})
		s.equal(fmt.Sprintf("keys by %d", size), gotKeys, wantKeys)
		s.equal(fmt.Sprintf("prefixes by %d", size), gotPrefixes, wantPrefixes)
	}
	gotKeys, gotPrefixes := s.list(s3.ListInput{Delimiter: "/"})
	s.equal("keys of the root", gotKeys, []string{"other", "top.txt"})
	s.equal("prefixes of the root", gotPrefixes, []string{"top/"})
}

func testListStartAfter(s *suite) {
	keys := numbered("k%02d", 20)
	s.putAll(keys)
	got, _ := s.list(s3.ListInput{StartAfter: "k09", Max: 3})
	s.equal("keys after one that is there", got, keys[10:])
	got, _ = s.list(s3.ListInput{StartAfter: "k095", Max: 3})
	s.equal("keys after one that is not", got, keys[10:])
	got, _ = s.list(s3.ListInput{StartAfter: "k19"})
	s.equal("keys after the last", got, []string(nil))
	got, _ = s.list(s3.ListInput{StartAfter: "k05", Prefix: "k1"})
	s.equal("keys after one before the prefix", got, keys[10:])
}

func testListEmpty(s *suite) {
	page, err := s.ListPage(s.Context(), s3.ListInput{})
	s.ok(err)
	s.equal("an empty bucket", len(page.Objects)+len(page.Prefixes)+len(page.Next), 0)
	s.put("a", "")
	page, err = s.ListPage(s.Context(), s3.ListInput{Prefix: "b", Delimiter: "/"})
	s.ok(err)
	s.equal("a prefix of nothing", len(page.Objects)+len(page.Prefixes)+len(page.Next), 0)
}

func testDelete(s *suite) {
	s.put("a", "x")
	s.put("b", "x")
	s.ok(s.Delete(s.Context(), s3.Target{Key: "a"}))
	_, err := s.Head(s.Context(), "a")
	s.fails(err, s3.ErrNotFound)
	s.ok(s.Delete(s.Context(), s3.Target{Key: "a"}))
	s.ok(s.Delete(s.Context(), s3.Target{Key: "missing"}, s3.Target{Key: "a"}))
	s.ok(s.Delete(s.Context()))
	keys, _ := s.list(s3.ListInput{})
	s.equal("keys left", keys, []string{"b"})
}

func testDeleteConditions(s *suite) {
	if s.features.NoDeleteCond {
		s.Skip("the server ignores conditions of deletes")
	}
	old := s.put("a", "old").ETag
	fresh := s.put("a", "new").ETag
	s.put("b", "x")
	err := s.Delete(s.Context(), s3.Target{Key: "a", ETag: old}, s3.Target{Key: "b"})
	s.fails(err, s3.ErrChanged)
	var failed *s3.DeleteError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || !errors.Is(failed.Failed["a"], s3.ErrChanged) {
		s.Errorf("got %#v", err)
	}
	keys, _ := s.list(s3.ListInput{})
	s.equal("keys left", keys, []string{"a"})
	s.ok(s.Delete(s.Context(), s3.Target{Key: "a", ETag: fresh}))
	s.ok(s.Delete(s.Context(), s3.Target{Key: "a", ETag: fresh}))
}
