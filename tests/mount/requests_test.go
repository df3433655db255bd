package mount

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// patient mounts a bucket so that it remembers names for longer than even a busy
// machine needs for a test.
func patient(t testing.TB, s *harness.Server, client *harness.Client) *harness.Mount {
	t.Helper()
	return s.Mount(t, client.Bucket, "--metadata-ttl", "1m")
}

// wantRequests fails the test unless exactly these requests came since the
// last look.
func wantRequests(t testing.TB, s *harness.Server, what string, want map[string]int) {
	t.Helper()
	wantRequestsSince(t, s, time.Now(), what, want)
}

// wantRequestsSince is wantRequests about names that are not there, which is known
// from a certain time on. They are looked for again after a second: one listing
// more for each that has passed is right.
func wantRequestsSince(t testing.TB, s *harness.Server, known time.Time, what string, want map[string]int) {
	t.Helper()
	counts := s.Proxy.Counts()
	if counts["ListObjectsV2"] <= int(time.Since(known)/time.Second) {
		delete(counts, "ListObjectsV2")
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		requests := s.Proxy.Requests()
		t.Errorf("%s: requests (-want +got):\n%s\n%v", what, diff, requests[:min(len(requests), 20)])
	}
	s.Proxy.Reset()
}

// fill makes n objects of a few bytes below prefix, with an S3 client.
func fill(t testing.TB, client *harness.Client, prefix string, n int) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			return client.Write(t.Context(), fmt.Sprintf("%s%05d", prefix, i), []byte(fmt.Sprint(i)))
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestListingOfTenThousandIsTenLists(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	fill(t, client, "dir/", 10_000)
	m := patient(t, s, client)
	if _, err := os.Stat(m.Path("dir")); err != nil {
		t.Fatal(err)
	}
	s.Proxy.Reset()
	out := run(t, m.Dir, "sh", "-c", "ls -l dir | wc -l")
	if out != "10001\n" { // with the line of the total
		t.Errorf("ls -l printed %q lines, want 10001", out)
	}
	wantRequests(t, s, "ls -l of 10,000", map[string]int{"ListObjectsV2": 10})
}

func TestFindAsksEachDirectoryOnce(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	for i := range 50 {
		fill(t, client, fmt.Sprintf("tree/%02d/", i), 20)
	}
	m := patient(t, s, client)
	s.Proxy.Reset()
	if out := run(t, m.Dir, "sh", "-c", "find tree -type f | wc -l"); out != "1000\n" {
		t.Errorf("find found %q files, want 1000", out)
	}
	if got := s.Proxy.Counts()["ListObjectsV2"]; got > 52 || len(s.Proxy.Counts()) > 1 {
		t.Errorf("find over 50 directories: %v, want at most a LIST for each and for those above", s.Proxy.Counts())
	}
}

func TestSmallFileIsOneGet(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	fill(t, client, "dir/", 10)
	m := patient(t, s, client)
	names(t, m.Path("dir"))
	s.Proxy.Reset()
	wantContent(t, m.Path("dir", "00007"), []byte("7"))
	wantRequests(t, s, "a listed small file, read for the first time", map[string]int{"GetObject": 1})
}

func TestSmallFileCreatedIsOnePut(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	fill(t, client, "dir/", 10)
	m := patient(t, s, client)
	known := time.Now()
	names(t, m.Path("dir"))
	s.Proxy.Reset()
	for i := range 5 {
		write(t, m.Path("dir", fmt.Sprintf("new %d", i)), harness.Noise(1, 4096))
	}
	wantRequestsSince(t, s, known, "five small files created in a known directory", map[string]int{"PutObject": 5})
}

func TestSmallFileInADirectoryJustMadeIsOnePut(t *testing.T) {
	s := harness.NewServer(t)
	m := patient(t, s, s.Bucket(t))
	known := time.Now()
	if err := os.Mkdir(m.Path("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Proxy.Reset()
	write(t, m.Path("dir", "file"), harness.Noise(1, 4096))
	wantRequestsSince(t, s, known, "a small file created in a new directory", map[string]int{"PutObject": 1})
}

func TestMissingNameInAKnownDirectoryIsNothing(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	fill(t, client, "dir/", 10)
	m := patient(t, s, client)
	known := time.Now()
	names(t, m.Path("dir"))
	s.Proxy.Reset()
	for i := range 10 {
		if _, err := os.Stat(m.Path("dir", fmt.Sprintf("missing %d", i))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("stat of a missing name: %v", err)
		}
	}
	wantRequestsSince(t, s, known, "ten missing names in a known directory", map[string]int{})
}

func TestDirectoryRenameCopiesEachObjectOnce(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	fill(t, client, "old/", 1200)
	m := patient(t, s, client)
	names(t, m.Path("old"))
	s.Proxy.Reset()
	if err := os.Rename(m.Path("old"), m.Path("new")); err != nil {
		t.Fatal(err)
	}
	counts := s.Proxy.Counts()
	if n := counts["CopyObject"]; n < 1200 || n > 1201 { // the directory's own marker may be one more
		t.Errorf("a directory of 1200 files was renamed by %d copies", n)
	}
	if n := counts["DeleteObjects"]; n > 4 {
		t.Errorf("a directory of 1200 files was removed by %d bulk deletes", n)
	}
	if n := counts["HeadObject"]; n > 5 {
		t.Errorf("renaming a listed directory asked %d HEADs", n)
	}
	for _, i := range []int{0, 777, 1199} {
		wantContent(t, m.Path("new", fmt.Sprintf("%05d", i)), []byte(fmt.Sprint(i)))
	}
	if keys := client.Keys(t, "old/"); len(keys) != 0 {
		t.Errorf("%d objects are left under the old name", len(keys))
	}
}

func TestAppendingAByteMovesOnePart(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	data := harness.Noise(1, 100<<20)
	write(t, m.Path("big"), data)
	s.Proxy.Reset()
	f, err := os.OpenFile(m.Path("big"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var sent int64
	for _, r := range s.Proxy.Requests() {
		if r.Op == "UploadPart" || r.Op == "PutObject" {
			sent += r.Length
		}
	}
	if sent > 17<<20 {
		t.Errorf("appending a byte to 100 MiB sent %d bytes", sent)
	}
	wantEqual(t, filepath.Base(m.Path("big")), client.Get(t, "big"), append(data, '!'))
}

// cp of a large file within the mount moves none of its bytes over the network.
func TestLargeFileIsCopiedByTheServer(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	data := harness.Noise(1, 100<<20)
	write(t, m.Path("big"), data)
	s.Proxy.Reset()
	run(t, m.Dir, "cp", "-p", "big", "copy")
	var moved int64
	for _, r := range s.Proxy.Requests() {
		if r.Op == "UploadPart" || r.Op == "PutObject" {
			moved += r.Length
		}
	}
	counts := s.Proxy.Counts()
	if counts["UploadPartCopy"] == 0 || counts["GetObject"] > 1 || moved > 0 {
		t.Errorf("copying 100 MiB sent %d bytes and took %v", moved, counts)
	}
	if got := client.Get(t, "copy"); !bytes.Equal(got, data) {
		t.Errorf("the copy has %d other bytes", len(got))
	}
	m.Remount(t)
	wantContent(t, m.Path("copy"), data)
}
