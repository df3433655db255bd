package mount

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// sizes are those at which something changes: pages, the kernel's requests,
// the first read, parts of an upload.
var sizes = []int{0, 1, 4095, 4096, 4097, 128 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5 << 20, 8<<20 - 1, 8 << 20, 8<<20 + 1, 16 << 20, 37<<20 + 5}

func TestBytesWrittenAreTheObjectAtOnce(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	for _, n := range sizes {
		name := fmt.Sprintf("dir %d/file", n)
		if err := os.Mkdir(m.Path(fmt.Sprintf("dir %d", n)), 0o755); err != nil {
			t.Fatal(err)
		}
		data := harness.Noise(uint64(n), n)
		write(t, m.Path(name), data)
		wantEqual(t, name+" in the bucket", client.Get(t, name), data)
		wantContent(t, m.Path(name), data)
	}
	m.Remount(t)
	for _, n := range sizes {
		wantContent(t, m.Path(fmt.Sprintf("dir %d/file", n)), harness.Noise(uint64(n), n))
	}
}

func TestObjectsAreReadByteForByte(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	for _, n := range sizes {
		name := fmt.Sprintf("dir/file %d", n)
		client.Put(t, name, harness.Noise(uint64(n), n))
	}
	for _, n := range sizes {
		wantContent(t, m.Path("dir", fmt.Sprintf("file %d", n)), harness.Noise(uint64(n), n))
	}
}

// What another client writes is seen at the next open, however long the file
// was known before.
func TestOpenSeesWhatIsInTheBucketNow(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	for i := range 20 {
		data := harness.Noise(uint64(i), 10_000+i*7)
		client.Put(t, "file", data)
		wantContent(t, m.Path("file"), data)
	}
}

func TestContentTypeFollowsTheName(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	for name, want := range map[string]string{
		"page.html": "text/html", "data.json": "application/json", "image.png": "image/png", "style.css": "text/css",
		"report.pdf": "application/pdf", "noextension": "application/octet-stream", "archive.tar": "application/x-tar",
		"UPPER.HTML": "text/html",
	} {
		write(t, m.Path(name), []byte("content of "+name))
		got := client.Head(t, name).ContentType
		if got == nil || strings.SplitN(*got, ";", 2)[0] != want {
			t.Errorf("%s has Content-Type %v, want %s", name, deref(got), want)
		}
	}
}

// Modes, owners and times set before close travel with the object, under the
// names that s3fs and rclone use, at no further request.
func TestAttributesTravelAsMetadata(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	when := time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)

	f, err := os.OpenFile(m.Path("file"), os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	s.Proxy.Reset()
	if _, err := f.Write([]byte("content")); err != nil {
		t.Fatal(err)
	}
	if err := f.Chmod(0o751); err != nil {
		t.Fatal(err)
	}
	times := []syscall.Timeval{syscall.NsecToTimeval(when.UnixNano()), syscall.NsecToTimeval(when.UnixNano())}
	if err := syscall.Futimes(int(f.Fd()), times); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.Proxy.Counts(); got["PutObject"] != 1 || len(got) != 1 {
		t.Errorf("requests for a file with mode and time: %v, want one PutObject", s.Proxy.Requests())
	}
	meta := client.Head(t, "file").Metadata
	if mode, err := strconv.ParseUint(meta["mode"], 10, 32); err != nil || mode != syscall.S_IFREG|0o751 {
		t.Errorf("x-amz-meta-mode is %q, want %d", meta["mode"], syscall.S_IFREG|0o751)
	}
	if mtime, err := strconv.ParseFloat(meta["mtime"], 64); err != nil || int64(mtime) != when.Unix() {
		t.Errorf("x-amz-meta-mtime is %q, want %d", meta["mtime"], when.Unix())
	}
	if meta["uid"] != strconv.Itoa(os.Getuid()) || meta["gid"] != strconv.Itoa(os.Getgid()) {
		t.Errorf("x-amz-meta-uid and -gid are %q and %q, want %d and %d", meta["uid"], meta["gid"], os.Getuid(), os.Getgid())
	}
}

func deref(s *string) string {
	if s == nil {
		return "(none)"
	}
	return *s
}

// What says that it is compressed is delivered as it is: tar and gunzip want the
// bytes that the size is of.
func TestEncodedObjectsAreNotDecoded(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(bytes.Repeat([]byte("text "), 1000))
	z.Close()
	_, err := client.PutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: &client.Bucket, Key: aws.String("file.gz"), Body: bytes.NewReader(packed.Bytes()), ContentEncoding: aws.String("gzip"),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := s.Mount(t, client.Bucket)
	wantContent(t, m.Path("file.gz"), packed.Bytes())
}
