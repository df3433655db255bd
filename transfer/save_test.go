package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// saveAndLoad puts a draft aside and has it back in another engine.
func saveAndLoad(t *testing.T, d *Draft, e *Engine, dir string) (*Saved, *Draft) {
	t.Helper()
	if err := d.Save(dir, "one", "", map[string]string{"why": "no network"}); err != nil {
		t.Fatal(err)
	}
	s, err := LoadSaved(filepath.Join(dir, "one.json"))
	if err != nil {
		t.Fatal(err)
	}
	var extra map[string]string
	if err := json.Unmarshal(s.Extra, &extra); err != nil || extra["why"] != "no network" {
		t.Errorf("extra %s: %v", s.Extra, err)
	}
	again, err := e.Restore(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Discard(bg) })
	return s, again
}

func TestSavedDraftCanBeCommittedLater(t *testing.T) {
	const key = "not \xff utf-8"
	base := noise(3000, 1)
	for name, tt := range map[string]struct {
		base, sequential, onDisk bool
	}{
		"new in memory":  {},
		"new on disk":    {onDisk: true},
		"edit":           {base: true},
		"edit on disk":   {base: true, onDisk: true},
		"half sent":      {sequential: true},
		"half sent disk": {sequential: true, onDisk: true},
	} {
		t.Run(name, func(t *testing.T) {
			b, mem := bucket()
			info := mem.PutBytes(key, base)
			before := newEngine(t, b, small.in(t.TempDir()))
			dir := t.TempDir()
			var over *s3.Object
			var want []byte
			if tt.base {
				over, want = &info.Object, bytes.Clone(base)
			}
			d := newDraft(t, before, key, over, tt.sequential)
			edit := noise(500, 2)
			write(t, d, edit, 100)
			want = append(want, make([]byte, max(0, 600-len(want)))...)
			copy(want[100:], edit)
			if tt.onDisk {
				d.mu.Lock()
				err := d.local.spill(d.flying())
				d.mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
			}
			e := newEngine(t, b, small.in(t.TempDir()))
			s, again := saveAndLoad(t, d, e, dir)
			if s.Key != key || s.Size != int64(len(want)) || tt.base != (s.Base != nil) {
				t.Errorf("saved %+v", s)
			}
			if n := before.Stats(); n.MemoryUsed != 0 || n.Staged != 0 || n.Drafts != 0 {
				t.Errorf("left behind: %+v", n)
			}
			data, _ := os.ReadFile(s.DataPath)
			write(t, again, []byte("more"), 0)
			want = append([]byte("more"), want[4:]...)
			commit(t, again, key, s3.PutOptions{})
			checkObject(t, mem, key, want)
			if now, _ := os.ReadFile(s.DataPath); !bytes.Equal(now, data) {
				t.Error("the data file was changed")
			}
			if len(mem.Uploads()) > 0 {
				t.Errorf("uploads are left: %v", mem.Uploads())
			}
		})
	}
}

func TestDiscardOfARestoredDraftKeepsItsUpload(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	dir := t.TempDir()
	d := newDraft(t, e, "a", nil, true)
	write(t, d, noise(500, 1), 0)
	if err := d.quiet(bg); err != nil {
		t.Fatal(err)
	}
	s, again := saveAndLoad(t, d, e, dir)
	if err := again.Discard(bg); err != nil {
		t.Fatal(err)
	}
	uploads := mem.Uploads()
	if len(uploads) != 1 || uploads[0].ID != s.UploadID {
		t.Errorf("uploads %v, want %s", uploads, s.UploadID)
	}
	up, err := mem.ResumeUpload(bg, "a", s.UploadID, s3.PutOptions{})
	if err != nil || up.Abort(bg) != nil {
		t.Fatal(err)
	}
	if _, err := e.Restore(s); !errors.Is(err, s3.ErrNoUpload) {
		t.Errorf("restoring without the upload: %v", err)
	}
}

func TestRestoredUploadKeepsItsParts(t *testing.T) {
	b, mem := bucket()
	cfg := small.in(t.TempDir())
	d := newDraft(t, newEngine(t, b, cfg), "a", nil, true)
	want := noise(500, 1)
	write(t, d, want, 0)
	if err := d.quiet(bg); err != nil {
		t.Fatal(err)
	}
	cfg.PartSize = 40
	s, again := saveAndLoad(t, d, newEngine(t, b, cfg), t.TempDir())
	if n := again.Size() - s.Local; n < 100 {
		t.Fatalf("only %d bytes had left", n)
	}
	commit(t, again, "a", s3.PutOptions{})
	checkObject(t, mem, "a", want)
}

// An upload that has no part may be given up by anybody. All that it was to get is
// in the saved draft.
func TestDraftOfWhichNothingWasSentNeedsNoUpload(t *testing.T) {
	b, mem := bucket()
	b.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpPart, Fault: s3test.Fault{Do: s3test.Fail}}}})
	e := newEngine(t, b, small.in(t.TempDir()))
	d := newDraft(t, e, "a", nil, true)
	want := noise(100, 1)
	_ = d.WriteAt(bg, want, 0)
	_ = d.quiet(bg)
	s, again := saveAndLoad(t, d, e, t.TempDir())
	if s.UploadID == "" || s.Local != int64(len(want)) {
		t.Fatalf("saved %+v", s)
	}
	if err := again.Discard(bg); err != nil {
		t.Fatal(err)
	}
	b.SetPlan(s3test.Plan{})
	if n, err := s3.AbortEmpty(bg, b, mem.Uploads()...); n != 1 || err != nil {
		t.Fatalf("%d given up, %v", n, err)
	}
	again, err := e.Restore(s)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, again, "a", s3.PutOptions{})
	checkObject(t, mem, "a", want)
	if err := again.Discard(bg); err != nil {
		t.Error(err)
	}
}

func TestUploadThatLacksPartsIsNotResumed(t *testing.T) {
	b, _ := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	d := newDraft(t, e, "a", nil, true)
	write(t, d, noise(500, 1), 0)
	if err := d.quiet(bg); err != nil {
		t.Fatal(err)
	}
	s, again := saveAndLoad(t, d, e, t.TempDir())
	s.upload.Away = append(s.upload.Away, [2]int64{0, 16})
	if _, err := e.Restore(s); !errors.Is(err, s3.ErrNoUpload) {
		t.Errorf("restoring an upload without its first part: %v", err)
	}
	commit(t, again, "a", s3.PutOptions{})
}

func TestDamagedSidecarIsAnError(t *testing.T) {
	b, _ := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	dir := t.TempDir()
	d := newDraft(t, e, "a", nil, false)
	write(t, d, noise(50, 1), 10)
	s, again := saveAndLoad(t, d, e, dir)
	again.Discard(bg)
	if err := os.Truncate(s.DataPath, 20); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Restore(s); !errors.Is(err, s3.ErrCorrupt) {
		t.Errorf("restoring from a data file that was cut: %v", err)
	}
	path := filepath.Join(dir, "one.json")
	for _, text := range []string{
		"", "{}", `{"format":2}`,
		`{"format":1,"size":5,"partSize":1,"data":"../d"}`, `{"format":1,"size":5,"partSize":1}`,
		`{"format":1,"size":5,"partSize":1,"data":"d","extents":[[3,9]]}`, `{"format":1,"size":-1,"partSize":1,"data":"d"}`, `{"format":1,"size":1,"data":"d"}`, `{"format":1,"size":9,"baseEnd":9,"partSize":1,"data":"d"}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := LoadSaved(path); err == nil {
			t.Errorf("sidecar %q: %+v", text, s)
		}
	}
}

func FuzzSidecar(f *testing.F) {
	f.Add([]byte(`{"format":1,"key":"a","size":10,"partSize":16,"data":"d","extents":[[0,4],[6,10]]}`))
	f.Add([]byte(`{"format":1,"key":{"Base64":"/w=="},"size":10,"baseEnd":5,"base":{"Size":7},"partSize":16,"data":"../../etc/passwd"}`))
	f.Add([]byte(`{"format":1,"size":40,"partSize":16,"data":"d","upload":{"id":"x","away":[[16,32]],"parts":[{"Number":2,"Size":16}]}}`))
	b, _ := bucket()
	e := newEngine(f, b, small.in(f.TempDir()))
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "d"), make([]byte, 20), 0o600); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir, "s.json")
	f.Fuzz(func(t *testing.T, p []byte) {
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := LoadSaved(path)
		if err != nil {
			return
		}
		if filepath.Dir(s.DataPath) != dir {
			t.Fatalf("data outside of the directory: %s", s.DataPath)
		}
		d, err := e.Restore(s)
		if err != nil {
			return
		}
		if _, err := d.ReadAt(bg, make([]byte, 100), 0); err == nil && d.Size() < 100 {
			t.Fatal("no end")
		}
		if err := d.Discard(bg); err != nil {
			t.Fatal(err)
		}
	})
}
