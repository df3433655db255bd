package snapshot

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// TestObjectAboveOneCopy copies an object of 5.1 GiB, which no single CopyObject
// may. It is put into the server's directory as a sparse file; the copies are
// not sparse, so it runs only with CGS3FS_BIG set, and takes 16 GiB of disk.
func TestObjectAboveOneCopy(t *testing.T) {
	if os.Getenv("CGS3FS_BIG") == "" {
		t.Skip("set CGS3FS_BIG to copy 5.1 GiB")
	}
	d := newDesk(t)
	const size = 51 << 30 / 10
	path := filepath.Join(server.Root, d.Bucket, "sparse")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	const etag = `"0123456789abcdef0123456789abcdef-700"`
	if err := syscall.Setxattr(path, "user.etag", []byte(etag), 0); err != nil {
		t.Skipf("this file system keeps no attributes: %v", err)
	}
	if got := *d.Head(t, "sparse").ETag; got != etag {
		t.Fatalf("the server says the ETag is %s", got)
	}
	d.snapshot(0, "list") // builds the program
	server.Proxy.Reset()
	r := harness.Run(d.command(t.Context(), "create", "--progress", "none"))
	if r.Status != 0 {
		t.Fatalf("exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if counts := server.Proxy.Counts(); counts["CopyObject"] != 0 || counts["UploadPartCopy"] < 2 {
		t.Errorf("requests %v", counts)
	}
	d.snapshot(0, "verify", "latest", "--level", "head")
	m := d.create("--incremental")
	if m.Own != 0 {
		t.Errorf("%+v", m)
	}
}
