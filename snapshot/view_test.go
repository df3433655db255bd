package snapshot

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cgs3fs/cgs3fs/s3"
)

func TestViewListsAsTheBucketDid(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"a", "a/", "a//x", "a/b", "a/b/c", "a/b/d", "b-", "b/1", "b/2", "b0", "c/x/y/z", "ü/é", "ü0"} {
		w.mem.PutBytes(key, []byte(key))
	}
	original := w.newMem()
	for key, data := range w.live() {
		original.PutBytes(key, []byte(data))
	}
	w.create(CreateOptions{})
	view, err := w.store().View(t.Context(), "2026-11-23")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		in := s3.ListInput{
			Prefix:     rapid.SampledFrom([]string{"", "a", "a/", "a/b", "b", "b/", "c/x/", "ü/", "none"}).Draw(t, "prefix"),
			Delimiter:  rapid.SampledFrom([]string{"", "/"}).Draw(t, "delimiter"),
			StartAfter: rapid.SampledFrom([]string{"", "a", "a/", "a/b", "a/b/c", "b", "b/1", "c/x/y", "zzz"}).Draw(t, "after"),
			Max:        rapid.IntRange(1, 4).Draw(t, "max"),
		}
		got, want := listAll(t, view, in), listAll(t, original, in)
		if got != want {
			t.Fatalf("%+v:\n got %s\nwant %s", in, got, want)
		}
	})
}

func listAll(t *rapid.T, b s3.Bucket, in s3.ListInput) string {
	var all []string
	for {
		page, err := b.ListPage(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Objects {
			all = append(all, fmt.Sprintf("%s (%d)", o.Key, o.Size))
		}
		all = append(all, page.Prefixes...)
		if page.Next == "" {
			return strings.Join(all, " ")
		}
		in.Token = page.Next
	}
}

func TestViewServesOnlyTheSnapshotsBytes(t *testing.T) {
	w := newWorld(t)
	want := history(t, w)
	view, err := w.store().View(t.Context(), "2026-11-25") // all but "changes" and "new2" are links
	if err != nil {
		t.Fatal(err)
	}
	for key, data := range want["2026-11-25"] {
		body, err := view.Get(t.Context(), key, s3.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err != nil || string(got) != data {
			t.Errorf("%s: %q, %v", key, got, err)
		}
		body.Close()
	}
	w.mem.PutBytes("data/2026/11/25/changes", []byte("altered"))
	if _, err := view.Get(t.Context(), "changes", s3.GetOptions{}); !errors.Is(err, s3.ErrCorrupt) {
		t.Errorf("an altered copy: %v", err)
	}
	if _, err := view.Head(t.Context(), "none"); !errors.Is(err, s3.ErrNotFound) {
		t.Errorf("a missing key: %v", err)
	}
	if _, err := view.Put(t.Context(), "x", strings.NewReader(""), s3.PutOptions{}); !errors.Is(err, s3.ErrDenied) {
		t.Errorf("writing: %v", err)
	}
}

func TestViewOutlivesAPrune(t *testing.T) {
	w := newWorld(t)
	want := history(t, w)
	s := w.store()
	view, err := s.View(t.Context(), "2026-11-25")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}}); err != nil {
		t.Fatal(err)
	}
	for key, data := range want["2026-11-25"] {
		body, err := view.Get(t.Context(), key, s3.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err != nil || string(got) != data {
			t.Errorf("%s: %q, %v", key, got, err)
		}
		body.Close()
	}
	if page, err := view.ListPage(t.Context(), s3.ListInput{}); err != nil || len(page.Objects) != len(want["2026-11-25"]) {
		t.Errorf("%d objects listed, %v", len(page.Objects), err)
	}
}
