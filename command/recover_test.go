package command

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cgs3fs/cgs3fs/fs"
	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// rescue is a bucket, and a recovery directory with one file of it whose first
// parts had left for an upload.
type rescue struct {
	*recovery
	t     *testing.T
	mem   *s3test.Mem
	kept  kept
	want  []byte
	notes strings.Builder
}

// newRescue makes it; the upload was completed unheard, or not at all.
func newRescue(t *testing.T, completed bool) *rescue {
	t.Helper()
	r := &rescue{t: t, mem: s3test.NewMem(s3test.MemConfig{MinPartSize: 1}), want: make([]byte, 3<<20)}
	for i := range r.want {
		r.want[i] = byte(i >> 8)
	}
	f := s3test.NewFaulty(r.mem, s3test.Plan{Rules: []s3test.Rule{
		{Op: s3.OpCompleteUpload, Nth: 1, Fault: s3test.Fault{Do: map[bool]s3test.Action{true: s3test.Drop, false: s3test.Fail}[completed]}},
	}})
	e, err := transfer.New(f, nil, transfer.Config{
		Memory: 64 << 20, StageDir: t.TempDir(), PartSize: 256 << 10, Limits: transfer.Limits{MinPartSize: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	r.recovery = &recovery{engine: e, bucket: f, note: func(format string, args ...any) { fmt.Fprintf(&r.notes, format+"\n", args...) }}
	d := e.NewDraft("a", nil, transfer.DraftOptions{Sequential: true})
	if err := d.WriteAt(t.Context(), r.want, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), "a", s3.PutOptions{}); err == nil {
		t.Fatal("a commit without an answer succeeded")
	}
	dir := t.TempDir()
	if err := d.Save(dir, "one", "", fs.Rescued{Path: "/a", Source: "s3://bucket", Why: "no answer"}); err != nil {
		t.Fatal(err)
	}
	if r.kept, err = readKept(filepath.Join(dir, "one.json")); err != nil {
		t.Fatal(err)
	}
	if r.kept.saved.Local == r.kept.Size {
		t.Fatal("nothing had left")
	}
	return r
}

func (r *rescue) there() bool {
	_, err := os.Stat(r.kept.path)
	return err == nil
}

func (r *rescue) content() []byte {
	r.t.Helper()
	p, ok := r.mem.Bytes("a")
	if !ok {
		r.t.Fatal("there is no object")
	}
	return p
}

func TestRecoverKnowsWhatTheBucketHasAlready(t *testing.T) {
	r := newRescue(t, true)
	if err := r.upload(t.Context(), r.kept); err != nil {
		t.Fatal(err)
	}
	if r.there() || !strings.Contains(r.notes.String(), "had all of it already") {
		t.Errorf("the file is still kept: %t; notes:\n%s", r.there(), &r.notes)
	}
	if !bytes.Equal(r.content(), r.want) {
		t.Error("the bucket has something else now")
	}
}

// What differs, if only in its attributes, is saved over what landed.
func TestRecoverSavesOverWhatLanded(t *testing.T) {
	r := newRescue(t, true)
	r.kept.rescue.Options.ContentType = "text/csv"
	if err := r.upload(t.Context(), r.kept); err != nil {
		t.Fatal(err)
	}
	if info, err := r.mem.Head(t.Context(), "a"); err != nil || info.ContentType != "text/csv" || !bytes.Equal(r.content(), r.want) {
		t.Errorf("the bucket has %+v, %v", info, err)
	}
	if r.there() {
		t.Error("the file is still kept")
	}
}

func TestRecoverSaysWhatIsLost(t *testing.T) {
	r := newRescue(t, true)
	r.mem.PutBytes("a", []byte("somebody else's"))
	err := r.upload(t.Context(), r.kept)
	if statusOf(err) != exitDiffers || !strings.Contains(err.Error(), "were only in an upload") || !strings.Contains(hintOf(err), "recover export one FILE") {
		t.Errorf("status %d: %v\n%s", statusOf(err), err, hintOf(err))
	}
	path := filepath.Join(t.TempDir(), "rest")
	if err := r.export(t.Context(), r.kept, path); statusOf(err) != exitPartly || !strings.Contains(err.Error(), "zeros") {
		t.Errorf("export: status %d: %v", statusOf(err), err)
	}
	got, err := os.ReadFile(path)
	if err != nil || len(got) != len(r.want) || !bytes.Equal(got[:256<<10], r.want[:256<<10]) {
		t.Errorf("exported %d bytes, %v", len(got), err)
	}
	if string(r.content()) != "somebody else's" || !r.there() {
		t.Error("theirs or ours is gone")
	}
}

// To read what has left for an upload this must be completed, and that may not
// replace what somebody else has put there.
func TestExportReplacesNothing(t *testing.T) {
	r := newRescue(t, false)
	r.mem.PutBytes("a", []byte("somebody else's"))
	path := filepath.Join(t.TempDir(), "out")
	if err := r.export(t.Context(), r.kept, path); statusOf(err) != exitDiffers {
		t.Errorf("status %d: %v", statusOf(err), err)
	}
	if string(r.content()) != "somebody else's" {
		t.Error("theirs is gone")
	}
}

func TestExportIsAllOfIt(t *testing.T) {
	for _, completed := range []bool{true, false} {
		r := newRescue(t, completed)
		path := filepath.Join(t.TempDir(), "out")
		if err := r.export(t.Context(), r.kept, path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, r.want) {
			t.Errorf("completed %t: exported %d bytes, %v", completed, len(got), err)
		}
		if err := r.upload(t.Context(), r.kept); err != nil || r.there() {
			t.Errorf("completed %t: uploading it then: %v", completed, err)
		}
	}
}
