package command

import (
	"io"
	"testing"

	"github.com/cgs3fs/cgs3fs/fs"
	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/snapshot"
)

func TestSnapshotsAreShownBelowTheirRoot(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	mem.PutBytes("docs/a", []byte("first"))
	mem.PutBytes("docs/sub/b", []byte("b"))
	mem.PutBytes("other", []byte("x"))
	store, err := snapshot.Open(snapshot.Config{Source: mem})
	if err != nil {
		t.Fatal(err)
	}
	made, err := store.Create(t.Context(), snapshot.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mem.PutBytes("docs/a", []byte("second"))

	v, err := newSnapshotView(mem, "bucket", "docs/")
	if err != nil {
		t.Fatal(err)
	}
	root := "docs/" + fs.SnapshotsPart
	page, err := v.ListPage(t.Context(), s3.ListInput{Prefix: root, Delimiter: "/"})
	if err != nil || len(page.Prefixes) != 1 || page.Prefixes[0] != root+string(made.Manifest.ID)+"/" || len(page.Objects) != 1 {
		t.Fatalf("listing the snapshots: %+v, %v", page, err)
	}
	inside := page.Prefixes[0]
	page, err = v.ListPage(t.Context(), s3.ListInput{Prefix: inside, Delimiter: "/"})
	if err != nil || len(page.Objects) != 1 || page.Objects[0].Key != inside+"a" || len(page.Prefixes) != 1 || page.Prefixes[0] != inside+"sub/" {
		t.Fatalf("listing inside: %+v, %v", page, err)
	}
	for key, want := range map[string]string{
		inside + "a": "first", root + latestLink: string(made.Manifest.ID), "docs/a": "second",
	} {
		body, err := v.Get(t.Context(), key, s3.GetOptions{})
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		got, _ := io.ReadAll(body)
		body.Close()
		if string(got) != want {
			t.Errorf("%q holds %q, want %q", key, got, want)
		}
	}
	if _, err := v.Head(t.Context(), root+"nothing/x"); err == nil {
		t.Error("a snapshot that is not there has an object")
	}
}
