package command

import (
	"os"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// Who may not list uploads can abort those whose ids were noted, and need not hear
// of them at every mount.
func TestNotedUploadIsAbortedWhereNoneCanBeListed(t *testing.T) {
	for _, kind := range []error{s3.ErrDenied, s3.ErrUnsupported} {
		mem := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
		bucket := s3test.NewFaulty(mem, s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpListUploads, Fault: s3test.Fault{Do: s3test.Fail, Kind: kind}}}})
		j := newUploadJournal(bucket, t.TempDir(), "https://server", "bucket")
		if _, err := j.NewUpload(t.Context(), "a", s3.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		dead := crashed(t, j)
		n, err := dead.clean(t.Context(), func(string) bool { return false })
		if n != 1 || err != nil || len(mem.Uploads()) != 0 {
			t.Errorf("%v: %d aborted, %v, and %v are left", kind, n, err, mem.Uploads())
		}
		if left, _ := os.ReadDir(dead.dir); len(left) != 0 {
			t.Errorf("%v: %s is left", kind, left[0].Name())
		}
	}
}

// crashed is the journal of a process that has died with the uploads of j under way.
func crashed(t *testing.T, j *uploadJournal) *uploadJournal {
	t.Helper()
	dir := t.TempDir() // in which nobody holds a lock
	if err := os.CopyFS(dir, os.DirFS(j.dir)); err != nil {
		t.Fatal(err)
	}
	return newUploadJournal(j.Bucket, dir, j.endpoint, j.bucket)
}

// The program that crashed may run again at once, and begin an upload of the same
// file.
func TestUploadThatBeganAfterTheCrashIsKept(t *testing.T) {
	now := time.Now()
	mem := s3test.NewMem(s3test.MemConfig{MinPartSize: 1, Now: func() time.Time { return now }})
	j := newUploadJournal(mem, t.TempDir(), "https://server", "bucket")
	begin := func(b s3.Bucket) s3.Upload {
		u, err := b.NewUpload(t.Context(), "a", s3.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Second)
		return u
	}
	begin(mem) // without an answer
	begin(j)
	dead := crashed(t, j)
	again := begin(mem)
	n, err := dead.clean(t.Context(), func(string) bool { return false })
	if n != 2 || err != nil {
		t.Errorf("%d aborted, %v", n, err)
	}
	if left := mem.Uploads(); len(left) != 1 || left[0].ID != again.ID() {
		t.Errorf("%v are left, and %s is under way", left, again.ID())
	}
}
