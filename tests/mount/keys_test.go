package mount

import (
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// strangeKeys are keys that no path can say, or only one of two. A server that
// keeps objects as files can't hold them, so these tests have one that keeps
// them in memory. It lists keys wrongly that begin or end with a slash, or are
// not UTF-8; the tests of package fs have those.
var strangeKeys = []string{
	"plain", "dir/file",
	"both", "both/below", "both/below/deeper",
	"double//slash", "double/slash", "triple///slash",
	"dot/./file", "dot/../file", "dot/file", ".", "..", "../outside", "./here",
	strings.Repeat("n", 256), strings.Repeat("n", 1000), "dir/" + strings.Repeat("m", 300) + "/file",
	"new\nline", "tab\t", "%2F", "%", "colon:", "back\\slash",
	"UPPER", "upper", "é", "e\u0301",
}

// Every key is reachable through exactly one path, with its own content; none
// hides another, breaks a listing, or leads out of the mount.
func TestStrangeKeysAreAllReachable(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m, backend := mountFake(t, s, client.Bucket)
	want := map[string]string{} // content -> key
	for i, key := range strangeKeys {
		content := fmt.Sprintf("content %d", i)
		if _, err := backend.PutObject(client.Bucket, key, nil, strings.NewReader(content), int64(len(content)), nil); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		want[content] = key
	}
	seen := map[string]string{} // content -> path
	err := filepath.WalkDir(m.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if other, ok := seen[string(data)]; ok {
			t.Errorf("%q and %q are the same object", other, path)
		}
		seen[string(data)] = path
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for content, key := range want {
		if _, ok := seen[content]; !ok {
			t.Errorf("the object %q is not reachable", key)
		}
	}
	for content, path := range seen {
		if _, ok := want[content]; !ok && content != "" {
			t.Errorf("%q holds %q, which no object does", path, content)
		}
	}
}

// Writing and removing through the path of a strange key touches that key only.
func TestStrangeKeysAreChangedOneByOne(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m, backend := mountFake(t, s, client.Bucket)
	keys := []string{"both", "both/below", "a//b", "a/b", "x/../y", strings.Repeat("l", 300)}
	for _, key := range keys {
		if _, err := backend.PutObject(client.Bucket, key, nil, strings.NewReader(key), int64(len(key)), nil); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
	}
	paths := map[string]string{}
	err := filepath.WalkDir(m.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		paths[string(data)] = path
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		path, ok := paths[key]
		if !ok {
			t.Errorf("%q is not reachable", key)
			continue
		}
		if err := os.WriteFile(path, []byte("changed"), 0o644); err != nil {
			t.Errorf("writing %q: %v", key, err)
			continue
		}
		for j, other := range keys {
			want := other
			if j <= i {
				want = "changed"
			}
			if got := fakeContent(t, backend, client.Bucket, other); got != want {
				t.Fatalf("after writing %q, %q holds %q, want %q", key, other, got, want)
			}
		}
	}
}

func mountFake(t *testing.T, s *harness.Server, bucket string) (*harness.Mount, gofakes3.Backend) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return s.MountWith(t, bucket, harness.MountOptions{Endpoint: server.URL}), backend
}

func fakeContent(t *testing.T, backend gofakes3.Backend, bucket, key string) string {
	t.Helper()
	o, err := backend.GetObject(bucket, key, nil)
	if err != nil {
		return fmt.Sprintf("(no object: %v)", err)
	}
	defer o.Contents.Close()
	data, err := io.ReadAll(o.Contents)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
