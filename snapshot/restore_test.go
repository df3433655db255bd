package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// damage changes, removes and adds live objects, and returns what was there.
func (w *world) damage() (before map[string]string) {
	w.t.Helper()
	before = w.live()
	w.mem.PutBytes("dir0/file03", []byte("overwritten by mistake"))
	w.mem.PutBytes("extra", []byte("not in the snapshot"))
	if err := w.mem.Delete(w.t.Context(), s3.Target{Key: "dir1/file04"}, s3.Target{Key: "dir2/file11"}); err != nil {
		w.t.Fatal(err)
	}
	return before
}

func TestRestoreBringsBackWhatDiffers(t *testing.T) {
	w := newWorld(t)
	w.fill(14)
	w.create(CreateOptions{})
	w.clock.advance(time.Hour)
	before := w.damage()
	damaged := w.live()
	s := w.store()
	dry, err := s.Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "live data after a dry run", w.live(), damaged)
	done, err := s.Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true})
	if err != nil {
		t.Fatal(err)
	}
	if done.Copied != 3 || done.Deleted != 1 || done.Same != 11 || dry.Copied != 3 || dry.Deleted != 1 {
		t.Errorf("restored %+v, dry run %+v", done, dry)
	}
	wantSame(t, "live data", w.live(), before)
	wantSame(t, "safety snapshot", contents(t, s, done.Safety), map[string]string{
		"dir0/file03": "overwritten by mistake", "extra": "not in the snapshot",
	})
	w.clock.advance(time.Hour)
	again, err := s.Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true})
	if err != nil {
		t.Fatal(err)
	}
	if again.Copied != 0 || again.Safety != "" {
		t.Errorf("restoring again did %+v", again)
	}
	if id, err := s.Find(t.Context(), "latest"); err != nil || id != "2026-11-23" {
		t.Errorf("latest is %s, %v", id, err)
	}
}

func TestRestoreOfOnePathTouchesNothingElse(t *testing.T) {
	w := newWorld(t)
	w.fill(14)
	w.create(CreateOptions{})
	w.clock.advance(time.Hour)
	w.damage()
	want := w.live()
	want["dir1/file04"] = strings.Repeat("e", 28)
	if _, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{Paths: []string{"dir1/"}, Delete: true}); err != nil {
		t.Fatal(err)
	}
	wantSame(t, "live data", w.live(), want)
}

func TestRestoreElsewhere(t *testing.T) {
	w := newWorld(t)
	w.fill(14)
	w.create(CreateOptions{})
	live := w.live()
	other := w.newMem()
	if _, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{To: other, ToPrefix: "back/"}); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, key := range other.Keys() {
		data, _ := other.Bytes(key)
		got[strings.TrimPrefix(key, "back/")] = string(data)
	}
	wantSame(t, "other bucket", got, live)
	if _, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{ToPrefix: "data/2026/11/23/x/"}); !errors.Is(err, ErrRefused) {
		t.Errorf("into a snapshot: %v", err)
	}
}

// TestRestoreWritesIntoNoSnapshot restores keys that together with the prefix are
// those of a snapshot.
func TestRestoreWritesIntoNoSnapshot(t *testing.T) {
	w := newWorld(t)
	w.mem.PutBytes("11/23/mine", []byte("x"))
	w.mem.PutBytes("12/mine", []byte("x"))
	w.create(CreateOptions{})
	done, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{ToPrefix: "data/2026/"})
	if err != nil || done.Copied != 1 || len(done.Skipped) != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if _, there := w.mem.Bytes("data/2026/11/23/mine"); there {
		t.Error("a stranger is in the snapshot")
	}
}

// TestRestoreDeletesManyExtras has more of them than it remembers.
func TestRestoreDeletesManyExtras(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	w.create(CreateOptions{})
	want := w.live()
	w.clock.advance(time.Hour)
	for i := range 205 {
		w.mem.PutBytes(fmt.Sprintf("dir1/extra%03d", i), []byte("x"))
	}
	for _, dry := range []bool{true, false} {
		done, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true, NoSafety: true, DryRun: dry})
		if err != nil || done.Deleted != 205 || done.Same != 9 {
			t.Errorf("%+v, %v", done, err)
		}
	}
	wantSame(t, "live data", w.live(), want)
}

func TestRestoreBringsBackAttributes(t *testing.T) {
	w := newWorld(t)
	put := func(kind string) {
		o := s3.PutOptions{Attributes: s3.Attributes{ContentType: kind}, Tags: map[string]string{"t": kind}}
		if _, err := w.mem.Put(t.Context(), "key", strings.NewReader("same bytes"), o); err != nil {
			t.Fatal(err)
		}
	}
	put("text/plain")
	w.create(CreateOptions{})
	w.clock.advance(time.Hour)
	put("text/html")
	if _, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	info, err := w.mem.Head(t.Context(), "key")
	if err != nil || info.ContentType != "text/plain" {
		t.Errorf("type %q, %v", info.ContentType, err)
	}
	if tags, _ := w.mem.GetTags(t.Context(), "key", ""); tags["t"] != "text/plain" {
		t.Errorf("tags %v", tags)
	}
}

func TestRestoreLeavesWhatSomebodyChangesMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.fill(8)
	w.create(CreateOptions{})
	w.clock.advance(time.Hour)
	w.mem.PutBytes("dir0/file03", []byte("overwritten"))
	meddler := &meddler{Bucket: w.mem, on: func(src s3.Source, dst string) {
		if dst == "dir0/file03" {
			w.mem.PutBytes(dst, []byte("by somebody else"))
		}
	}}
	done, err := w.open(meddler).Restore(t.Context(), "2026-11-23", RestoreOptions{NoSafety: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(done.Conflicts, []string{"dir0/file03"}) {
		t.Errorf("conflicts %v", done.Conflicts)
	}
	if data, _ := w.mem.Bytes("dir0/file03"); string(data) != "by somebody else" {
		t.Errorf("their data is %q", data)
	}
}

// meddler does something to a bucket right before each copy.
type meddler struct {
	s3.Bucket
	on func(src s3.Source, dst string)
}

func (m *meddler) Copy(ctx context.Context, src s3.Source, dst string, o s3.CopyOptions) (s3.Info, error) {
	m.on(src, dst)
	return m.Bucket.Copy(ctx, src, dst, o)
}

func TestRestoreDirWritesFiles(t *testing.T) {
	w := newWorld(t)
	w.fill(14)
	w.mem.PutBytes("empty/", nil)
	for _, key := range []string{"../escape", "a//b", "./dot", "/abs", "full/", "nul\x00byte", strings.Repeat("p", 256)} {
		w.mem.PutBytes(key, []byte("bad"))
	}
	w.create(CreateOptions{})
	dir := t.TempDir()
	s := w.store()
	done, err := s.RestoreDir(t.Context(), "2026-11-23", dir, RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Skipped) != 7 || done.Copied != 14 {
		t.Errorf("%d copied, skipped %v", done.Copied, done.Skipped)
	}
	want := maps.Collect(maps.All(w.live()))
	got := map[string]string{}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			data, err := os.ReadFile(path)
			name, _ := filepath.Rel(dir, path)
			got[name] = string(data)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(want, func(key, data string) bool { return data == "bad" || key == "empty/" })
	wantSame(t, "files", got, want)
	info, err := os.Stat(filepath.Join(dir, "dir0/file03"))
	if err != nil || !info.ModTime().Equal(w.clock.now()) {
		t.Errorf("modified %v, %v", info.ModTime(), err)
	}
	again, err := s.RestoreDir(t.Context(), "2026-11-23", dir, RestoreOptions{})
	if err != nil || again.Copied != 0 || again.Same != 14 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestRestoreDirDoesNotFollowLinksOut(t *testing.T) {
	w := newWorld(t)
	w.mem.PutBytes("out/file", []byte("x"))
	w.create(CreateOptions{})
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	done, err := w.store().RestoreDir(t.Context(), "2026-11-23", dir, RestoreOptions{})
	if err == nil && len(done.Skipped) == 0 {
		t.Error("written through a link")
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("%v outside", entries)
	}
}

// Never is about links, too, wherever they lead.
func TestRestoreThatOverwritesNothingLeavesLinks(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"inside", "nowhere", "outside", "target"} {
		w.mem.PutBytes(key, []byte("of the snapshot"))
	}
	w.create(CreateOptions{})
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(outside, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"inside": "target", "nowhere": "nothing", "outside": outside} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "target"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []RestoreOptions{{Overwrite: OverwriteNever, DryRun: true}, {Overwrite: OverwriteNever}} {
		done, err := w.store().RestoreDir(t.Context(), "2026-11-23", dir, o)
		if err != nil || done.Kept != 4 || done.Copied != 0 {
			t.Errorf("%+v: %+v, %v", o, done, err)
		}
	}
	for _, name := range []string{"inside", "nowhere", "outside"} {
		if _, err := os.Readlink(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestDiffTellsWhatChanged(t *testing.T) {
	w := newWorld(t)
	w.fill(14)
	w.create(CreateOptions{})
	w.clock.advance(24 * time.Hour)
	w.damage()
	w.mem.PutBytes("dir1/file13", []byte(strings.Repeat("n", 91))) // written again
	w.create(CreateOptions{Incremental: true})
	s := w.store()
	a, errA := s.Load(t.Context(), "2026-11-23")
	b, errB := s.Load(t.Context(), "2026-11-24")
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	want := []string{"modified dir0/file03", "removed dir1/file04", "rewritten dir1/file13", "removed dir2/file11", "added extra"}
	for name, with := range map[string]*Manifest{"snapshot": b, "live": nil} {
		var got []string
		for c, err := range s.Diff(t.Context(), a, with, "") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(c.Kind)+" "+c.Key)
		}
		wantSame(t, name, got, want)
	}
	for c, err := range s.Diff(t.Context(), a, nil, "dir2/") {
		if err != nil || c.Key != "dir2/file11" {
			t.Errorf("below dir2/: %v, %v", c, err)
		}
	}
}

func TestRestoreOfWhatIsNotThereIsAnError(t *testing.T) {
	w := newWorld(t)
	w.fill(6)
	w.create(CreateOptions{})
	w.mem.PutBytes("later/x", []byte("x"))
	before := w.live()
	for _, test := range []struct {
		path string
		o    RestoreOptions
		want error
		text string
	}{
		{"dir1/file99", RestoreOptions{}, ErrNoKey, `has no "dir1/file99"`},
		{"dir1", RestoreOptions{}, ErrNoKey, `what is below it is "dir1/"`},
		{"later/", RestoreOptions{}, ErrNoKey, `has no "later/"`},
		{"later/", RestoreOptions{Delete: true, DryRun: true}, nil, ""},
		{"dir1/", RestoreOptions{}, nil, ""},
		{"dir1/file01", RestoreOptions{}, nil, ""},
	} {
		test.o.Paths = []string{test.path}
		_, err := w.store().Restore(t.Context(), "2026-11-23", test.o)
		if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", test.path, err)
		}
	}
	wantSame(t, "live data", w.live(), before)
}

func TestRestoreTellsBeforehandWhatItCopies(t *testing.T) {
	w := newWorld(t)
	w.fill(14)
	w.create(CreateOptions{})
	w.clock.advance(time.Hour)
	w.damage()
	counter := &copyCounter{Bucket: w.mem, made: map[string]int{}}
	s := w.open(counter)
	dry, err := s.Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true}); err != nil {
		t.Fatal(err)
	}
	if made := int64(len(counter.made)); dry.Cost.Copies != made || made != 5 || dry.Cost.Deletes != 1 || dry.Cost.Dollars == 0 {
		t.Errorf("%d copies, planned %+v", made, dry.Cost)
	}
}

// TestRestoreDeletesNothingThatWasLeftOut gives up an adoption that was there
// when the snapshot was made: what it was of is data again, which the snapshot
// left out.
func TestRestoreDeletesNothingThatWasLeftOut(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	w.mem.PutBytes("data/2024/05/06/mine", []byte("by a script"))
	w.abandon(w.begin(w.store(), CreateOptions{adopt: "2024-05-06"}))
	w.create(CreateOptions{})
	if _, err := w.store().Prune(t.Context(), PruneOptions{Incomplete: true}); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Hour)
	done, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, there := w.mem.Bytes("data/2024/05/06/mine"); !there || done.Deleted != 0 {
		t.Errorf("deleted %d", done.Deleted)
	}
	m, err := w.store().Load(t.Context(), "2026-11-23")
	if err != nil {
		t.Fatal(err)
	}
	for change, err := range w.store().Diff(t.Context(), m, nil, "") {
		t.Errorf("differs: %+v, %v", change, err)
	}
}
