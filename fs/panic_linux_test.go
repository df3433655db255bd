package fs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sys/unix"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// panics is a bucket with a bug: it panics at one key.
type panics struct{ s3.Bucket }

func (b panics) Put(ctx context.Context, key string, body io.ReadSeeker, o s3.PutOptions) (s3.Info, error) {
	if key == "bug/" {
		panic("the bug of the test")
	}
	return b.Bucket.Put(ctx, key, body, o)
}

// A panic while a request is worked on ends the process, which says where: it may
// not go on with what the panic has left half done. Programs get errors, also at the close
// of what they had not saved; what was saved is in the bucket.
func TestPanicEndsTheMount(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse")
	}
	mem := s3test.NewMem(s3test.MemConfig{})
	server := httptest.NewServer(&s3test.Server{Name: "bucket", Bucket: mem})
	defer server.Close()
	dir := t.TempDir()
	defer unix.Unmount(dir, unix.MNT_DETACH)
	process := exec.Command(os.Args[0], "-test.run=^TestMountWithABug$")
	process.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), "CGS3FS_TEST_BUG="+dir, "CGS3FS_TEST_BUCKET="+server.URL)
	var said bytes.Buffer
	process.Stderr = &said
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer process.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "mounted\n" {
		t.Fatalf("the mount said %q, %v: %s", line, err, said.String())
	}

	if err := os.WriteFile(filepath.Join(dir, "saved"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	open, err := os.Create(filepath.Join(dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, err := open.WriteString("not saved"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "bug"), 0o755); err == nil {
		t.Error("mkdir, which met the bug, said success")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		process.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		process.Process.Kill()
		<-ended
		t.Error("a minute after it met the bug, the process goes on")
	}
	if err := open.Close(); err == nil {
		t.Error("closing a file that was not saved: success")
	}
	if text := said.String(); !strings.Contains(text, "this is a bug of the program") || !strings.Contains(text, "fs.panics.Put") {
		t.Errorf("it did not say where the bug is:\n%s", text)
	}
	if got, _ := mem.Bytes("saved"); string(got) != "content" {
		t.Errorf("what was saved is now %q", got)
	}
	if _, there := mem.Bytes("open"); there {
		t.Error("what was not saved is in the bucket")
	}
}

// TestMountWithABug is the process that TestPanicEndsTheMount starts, and no test.
func TestMountWithABug(t *testing.T) {
	dir := os.Getenv("CGS3FS_TEST_BUG")
	if dir == "" {
		t.Skip("started by TestPanicEndsTheMount")
	}
	client, err := s3.Open(s3.Config{
		Bucket: "bucket", Endpoint: os.Getenv("CGS3FS_TEST_BUCKET"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	xfer, err := transfer.New(client, nil, transfer.Config{Memory: 64 << 20, StageDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(panics{client}, xfer, Config{
		TTL: time.Minute, NegativeTTL: time.Minute, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), RecoveryDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Mount(f, dir)
	if err = errors.Join(err, f.server.WaitMount()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("mounted")
	m.Wait()
}
