package fs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// meddled is a bucket into which somebody else writes around the copy of a key.
type meddled struct {
	s3.Bucket
	key           string
	before, after func()
	once          sync.Once
}

func (m *meddled) Copy(ctx context.Context, src s3.Source, dst string, o s3.CopyOptions) (s3.Info, error) {
	meddle := false
	if src.Key == m.key {
		m.once.Do(func() { meddle = true })
	}
	if meddle && m.before != nil {
		m.before()
	}
	info, err := m.Bucket.Copy(ctx, src, dst, o)
	if meddle && m.after != nil {
		m.after()
	}
	return info, err
}

// TestRenameLeavesWhatSomebodyElseWrites has another client replace, or add, an
// object around the copy that a rename makes.
func TestRenameLeavesWhatSomebodyElseWrites(t *testing.T) {
	tests := map[string]struct {
		when string // before or after …
		copy string // … the copy of this key
		name string // is renamed to "new" …
		key  string // … this is written
		want map[string]string
	}{
		"file, after the copy":        {"after", "f", "f", "f", map[string]string{"new": "old f", "f": "theirs"}},
		"file, before the copy":       {"before", "f", "f", "f", map[string]string{"new": "theirs"}},
		"directory, after the copy":   {"after", "d/a", "d", "d/a", map[string]string{"new/a": "old d/a", "new/b": "old d/b", "d/a": "theirs"}},
		"directory, before the copy":  {"before", "d/a", "d", "d/a", map[string]string{"new/a": "theirs", "new/b": "old d/b"}},
		"directory, a new file in it": {"after", "d/a", "d", "d/c", map[string]string{"new/a": "old d/a", "new/b": "old d/b", "d/c": "theirs"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			mem := s3test.NewMem(s3test.MemConfig{})
			for _, key := range []string{"f", "d/a", "d/b"} {
				mem.PutBytes(key, []byte("old "+key))
			}
			theirs := func() { mem.PutBytes(test.key, []byte("theirs")) }
			bucket := &meddled{Bucket: mem, key: test.copy, after: theirs}
			if test.when == "before" {
				bucket = &meddled{Bucket: mem, key: test.copy, before: theirs}
			}
			r := &rig{T: t, mem: mem}
			xfer, err := transfer.New(bucket, nil, transfer.Config{StageDir: t.TempDir()})
			r.must(err)
			f, err := New(bucket, xfer, Config{Log: slog.New(slog.DiscardHandler), TTL: time.Minute, NegativeTTL: time.Minute})
			r.must(err)
			in := &fuse.RenameIn{InHeader: fuse.InHeader{NodeId: rootIno}, Newdir: rootIno}
			if st := f.Rename(nil, in, test.name, "new"); !st.Ok() {
				t.Fatalf("rename: %v", st)
			}
			for key, want := range test.want {
				r.object(key, want)
			}
			left := 0
			for range s3.List(t.Context(), mem, test.name) {
				left++
			}
			there := 0
			for key := range test.want {
				if key[0] == test.name[0] {
					there++
				}
			}
			if left != there {
				t.Errorf("%d objects under the old name, want %d", left, there)
			}
			if _, _, _, err := f.resolve(t.Context(), f.tree.root, test.name); errors.Is(err, s3.ErrNotFound) == (there > 0) {
				t.Errorf("the old name: %v", err)
			}
			f.finish()
			r.must(xfer.Close())
		})
	}
}
