package faults

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// memoryLimit is the budget of the mounts here, and memoryOverhead the constant
// of SEMANTICS.md that the process may have besides.
const (
	memoryLimit    = 256 << 20
	memoryOverhead = 64 << 20
)

// budgeted mounts with the budget, and in a control group that has no more
// than the budget and the constant, where one can be had. At the end it looks at
// what the process has needed.
func budgeted(t *testing.T, s *harness.Server, bucket string) *harness.Mount {
	t.Helper()
	group := harness.NewCgroup(t, memoryLimit+memoryOverhead)
	if group == nil {
		t.Log("no control group to be had here: only the peak is looked at")
	}
	m := s.MountWith(t, bucket, harness.MountOptions{
		Flags: []string{"--memory-limit", strconv.Itoa(memoryLimit)}, Launcher: group.Launcher(),
	})
	t.Cleanup(func() {
		if group != nil && group.Kills(t) > 0 {
			t.Errorf("the kernel killed the mount, which needed more than %d MiB", (memoryLimit+memoryOverhead)>>20)
			return
		}
		peak := m.PeakRSS(t)
		if peak > memoryLimit+memoryOverhead {
			t.Errorf("peak RSS is %d MiB, over %d MiB", peak>>20, (memoryLimit+memoryOverhead)>>20)
		}
		t.Logf("peak RSS: %d MiB", peak>>20)
	})
	return m
}

// Where nobody says otherwise, the budget is half of what the container may use.
func TestBudgetIsHalfOfTheContainer(t *testing.T) {
	const limit = 192 << 20
	group := harness.NewCgroup(t, limit)
	if group == nil {
		t.Skip("no control group to be had here")
	}
	s := harness.NewServer(t)
	m := s.MountWith(t, s.Bucket(t).Bucket, harness.MountOptions{Launcher: group.Launcher()})
	r := m.Run(t.Context(), "status", "--json", m.Dir)
	if want := fmt.Sprintf(`"memory_limit": %d`, limit/2); !strings.Contains(r.Stdout, want) {
		t.Errorf("status does not say %s:\n%s%s", want, r.Stdout, r.Stderr)
	}
}

// A server that goes on listing new names for ever may keep a program that
// lists busy, but not take the memory.
func TestDirectoryWithoutEndFitsTheBudget(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	client.Put(t, "wide/", nil)
	m := budgeted(t, s, client.Bucket)
	if _, err := os.Stat(m.Path("wide")); err != nil {
		t.Fatal(err)
	}
	var pages atomic.Int64
	s.Proxy.Harm(answering{next: s.Proxy.Upstream(), answer: func(r *http.Request) (string, bool) {
		if !listing(r) || r.URL.Query().Get("prefix") != "wide/" {
			return "", false
		}
		at := pages.Add(1) - 1
		return page("wide/a-name-of-common-length-", int(at)*1000, 1000, fmt.Sprintf("page%d", at)), true
	}})
	defer s.Proxy.Harm(nil)
	const enough = 1200 // thousand names, of which 757 were too many once
	cmd := exec.Command("find", m.Path("wide"), "-name", "never")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(3 * time.Minute)
	for pages.Load() < enough {
		select {
		case err := <-ended:
			t.Fatalf("find ended after %d pages of a listing without end: %v", pages.Load(), err)
		case <-deadline:
			cmd.Process.Kill()
			t.Fatalf("find has read %d pages, not %d: the test proves too little", pages.Load(), enough)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Logf("%d names", pages.Load()*1000)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	<-ended
}

// Ten thousand files that are open, each of them read from, a walk over 200,000
// keys, and four streams of 1 GiB, first written and then read, fit the budget
// all at the same time: the walk begins when all streams flow and the files are
// open, and until it has ended twice, the streams read on and the files are
// not closed. The names, half of them in one directory and half in many, and
// the files are in a server in memory, for which so many are no work.
func TestOpenFilesAWalkAndStreamsFitTheBudgetTogether(t *testing.T) {
	const files, keys, perDir, streams, size = 10_000, 200_000, 100, 4, 1 << 30
	raiseDescriptors(t, files+1000)
	mem := s3test.NewMem(s3test.MemConfig{})
	for i := range files {
		mem.PutBytes(fmt.Sprintf("many/%05d", i), harness.Noise(uint64(i), 2000))
	}
	for i := range keys / 2 {
		mem.PutBytes(fmt.Sprintf("walked/flat/a-name-of-common-length-%06d.csv", i), nil)
		mem.PutBytes(fmt.Sprintf("walked/tree/%04d/a-name-of-common-length-%06d.csv", i/perDir, i), nil)
	}
	s := harness.NewServerWith(t, harness.Config{Sidecar: true})
	client := s.Bucket(t)
	client.Put(t, "many/", nil) // for the listing of the root
	client.Put(t, "walked/", nil)
	bucket := client.Bucket
	local := httptest.NewServer(&s3test.Server{Name: bucket, Bucket: mem})
	t.Cleanup(local.Close)
	m := budgeted(t, s, bucket)
	s.Proxy.Harm(besides{next: s.Proxy.Upstream(), local: local.Listener.Addr().String(), prefixes: []string{"many", "walked"}})
	defer s.Proxy.Harm(nil)

	open := openAll(t, m, files)
	defer closeAll(open)
	var g errgroup.Group
	flowing, walked := make(chan struct{}, streams), make(chan struct{})
	for i := range streams {
		g.Go(func() error { return writeAndRead(m.Path(fmt.Sprintf("stream%d", i)), size, flowing, walked) })
	}
	for range streams {
		<-flowing
	}
	walkTwice(t, m.Path("walked"), keys)
	close(walked)
	for i := 0; i < files; i += 100 {
		if err := readSome(open[i], i); err != nil {
			t.Errorf("file %d, after the walk: %v", i, err)
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// besides sends requests about some top names to another server.
type besides struct {
	next     http.RoundTripper
	local    string // host:port
	prefixes []string
}

func (b besides) RoundTrip(r *http.Request) (*http.Response, error) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	top, _, _ := strings.Cut(cmp.Or(key, r.URL.Query().Get("prefix")), "/")
	if !slices.Contains(b.prefixes, top) {
		return b.next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	r.URL.Host = b.local
	return http.DefaultTransport.RoundTrip(r)
}

// openAll opens the files below many and reads from each.
func openAll(t *testing.T, m *harness.Mount, files int) []*os.File {
	t.Helper()
	var open []*os.File
	for i := range files {
		f, err := os.Open(m.Path("many", fmt.Sprintf("%05d", i)))
		if err != nil {
			closeAll(open)
			t.Fatal(err)
		}
		open = append(open, f)
		if err := readSome(f, i); err != nil {
			closeAll(open)
			t.Fatalf("file %d: %v", i, err)
		}
	}
	return open
}

func closeAll(open []*os.File) {
	for _, f := range open {
		f.Close()
	}
}

func readSome(f *os.File, i int) error {
	buf := make([]byte, 100)
	if _, err := f.ReadAt(buf, 10); err != nil {
		return err
	}
	if !bytes.Equal(buf, harness.Noise(uint64(i), 2000)[10:110]) {
		return errors.New("it holds other bytes")
	}
	return nil
}

func walkTwice(t *testing.T, dir string, keys int) {
	t.Helper()
	for range 2 {
		out, err := exec.Command("find", dir, "-type", "f").Output()
		if err != nil {
			t.Errorf("find: %v", err)
		}
		if n := bytes.Count(out, []byte("\n")); n != keys {
			t.Errorf("find saw %d files, not %d", n, keys)
		}
	}
}

// writeAndRead writes a stream and reads it back, and again until there is no more
// need of it. It says when the first of it is written.
func writeAndRead(path string, size int64, flowing chan<- struct{}, enough <-chan struct{}) error {
	said := sync.OnceFunc(func() { flowing <- struct{}{} })
	defer said()                                                // also if it fails
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644) // as cp does
	if err != nil {
		return err
	}
	if err := errors.Join(harness.WritePattern(saying{f, said}, size), f.Close()); err != nil {
		return err
	}
	for {
		if f, err = os.Open(path); err != nil {
			return err
		}
		if err := errors.Join(harness.CheckPattern(f, size), f.Close()); err != nil {
			return err
		}
		select {
		case <-enough:
			return nil
		default:
		}
	}
}

// saying is a writer that tells of each write.
type saying struct {
	io.Writer
	say func()
}

func (s saying) Write(p []byte) (int, error) {
	defer s.say()
	return s.Writer.Write(p)
}
