//go:build linux

package transfer

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// completedUnheard returns a draft whose upload was completed, without an
// answer, and its content.
func completedUnheard(t *testing.T, b *s3test.Faulty, e *Engine) (*Draft, []byte) {
	t.Helper()
	d := newDraft(t, e, "a", nil, true)
	want := noise(500, 1)
	write(t, d, want, 0)
	if err := d.quiet(bg); err != nil {
		t.Fatal(err)
	}
	commitFails(t, b, d, "a", s3test.Plan{Rules: []s3test.Rule{
		{Op: s3.OpCompleteUpload, Fault: s3test.Fault{Do: s3test.Drop}},
	}})
	return d, want
}

func TestSavedUploadThatWasCompletedUnheardIsRecognised(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	d, want := completedUnheard(t, b, e)
	s, again := saveAndLoad(t, d, e, t.TempDir())
	if s.Local == s.Size {
		t.Fatal("all bytes are here still")
	}
	l := again.Landed()
	if l == nil || !l.Whole || l.Object.Key != "a" || l.Object.Size != int64(len(want)) {
		t.Fatalf("it has become %+v", l)
	}
	got := make([]byte, len(want))
	if _, err := again.ReadAt(bg, got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("reading it: %v", err)
	}
	checkObject(t, mem, "a", want)
}

func TestWhatWasWrittenAfterTheUnheardCompletionIsSaved(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	d, want := completedUnheard(t, b, e)
	copy(want, "edited")
	write(t, d, want[:6], 0)
	_, again := saveAndLoad(t, d, e, t.TempDir())
	l := again.Landed()
	if l == nil || l.Whole {
		t.Fatalf("it has become %+v", l)
	}
	commit(t, again, "a", s3.PutOptions{IfMatch: l.Object.ETag})
	checkObject(t, mem, "a", want)
}

func TestSavedUploadThatIsGoneLeavesTheRest(t *testing.T) {
	b, mem := bucket()
	dir := t.TempDir()
	e := newEngine(t, b, small.in(dir))
	d, want := completedUnheard(t, b, e)
	s, _ := saveAndLoad(t, d, e, dir)
	mem.PutBytes("a", []byte("somebody else's"))
	_, err := e.Restore(s)
	lost, ok := errors.AsType[*LostError](err)
	if !ok || !errors.Is(err, s3.ErrNoUpload) || lost.Bytes != s.Size-s.Local || lost.Size != s.Size {
		t.Fatalf("restoring it: %v, %+v", err, lost)
	}
	f, err := os.Create(filepath.Join(dir, "rest"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.Rest(f); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	here := 0
	for i := range got {
		if s.extents.covers(int64(i), int64(i)+1) {
			if here++; got[i] != want[i] {
				t.Fatalf("byte %d is %d, not %d", i, got[i], want[i])
			}
		} else if got[i] != 0 {
			t.Fatalf("byte %d is lost, and %d", i, got[i])
		}
	}
	if int64(here) != s.Local {
		t.Errorf("%d bytes are here, not %d", here, s.Local)
	}
}
