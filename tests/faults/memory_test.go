package faults

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
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

// budgeted mounts a bucket in the test's memory with the budget.
func budgeted(t *testing.T, mem *s3test.Mem) *harness.Mount {
	t.Helper()
	s := harness.NewServer(t)
	bucket := s.Bucket(t).Bucket // of the same name, for the look at what is left
	local := httptest.NewServer(&s3test.Server{Name: bucket, Bucket: mem})
	t.Cleanup(local.Close)
	return budgetedOn(t, s, bucket, local.URL)
}

// budgetedOn mounts with the budget, and in a control group that has no more
// than the budget and the constant, where one can be had. At the end it looks at
// what the process has needed.
func budgetedOn(t *testing.T, s *harness.Server, bucket, endpoint string) *harness.Mount {
	t.Helper()
	group := harness.NewCgroup(t, memoryLimit+memoryOverhead)
	if group == nil {
		t.Log("no control group to be had here: only the peak is looked at")
	}
	m := s.MountWith(t, bucket, harness.MountOptions{
		Flags: []string{"--memory-limit", strconv.Itoa(memoryLimit)}, Launcher: group.Launcher(), Endpoint: endpoint,
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

// A walk over 200,000 keys, half of them in one directory and half in many,
// stays within the budget. The server is one in memory, for which so many keys
// are no work.
func TestWalkOf200000KeysFitsTheBudget(t *testing.T) {
	const keys, perDir = 200_000, 100
	mem := s3test.NewMem(s3test.MemConfig{})
	for i := range keys / 2 {
		mem.PutBytes(fmt.Sprintf("flat/a-name-of-common-length-%06d.csv", i), nil)
	}
	for i := range keys / 2 {
		mem.PutBytes(fmt.Sprintf("tree/%04d/a-name-of-common-length-%06d.csv", i/perDir, i), nil)
	}
	m := budgeted(t, mem)
	for range 2 {
		out, err := exec.Command("find", m.Dir, "-type", "f").Output()
		if err != nil {
			t.Fatalf("find: %v", err)
		}
		if n := bytes.Count(out, []byte("\n")); n != keys {
			t.Errorf("find saw %d files, not %d", n, keys)
		}
	}
}

// A server that goes on listing new names for ever may keep a program that
// lists busy, but not take the memory.
func TestDirectoryWithoutEndFitsTheBudget(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	client.Put(t, "wide/", nil)
	m := budgetedOn(t, s, client.Bucket, "")
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

// Ten thousand files open at once, each of them read from, and big streams
// besides, fit the budget.
func TestTenThousandOpenFilesFitTheBudget(t *testing.T) {
	const files = 10_000
	raiseDescriptors(t, files+1000)
	mem := s3test.NewMem(s3test.MemConfig{})
	for i := range files {
		mem.PutBytes(fmt.Sprintf("many/%05d", i), harness.Noise(uint64(i), 2000))
	}
	m := budgeted(t, mem)
	open := make([]*os.File, files)
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	buf := make([]byte, 100)
	for i := range open {
		f, err := os.Open(m.Path("many", fmt.Sprintf("%05d", i)))
		if err != nil {
			t.Fatal(err)
		}
		open[i] = f
		if _, err := f.ReadAt(buf, 10); err != nil {
			t.Fatalf("file %d: %v", i, err)
		}
	}
	var g errgroup.Group
	for i := range 4 {
		g.Go(func() error {
			return os.WriteFile(m.Path(fmt.Sprintf("stream%d", i)), harness.Noise(uint64(i), 128<<20), 0o644)
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Four streams of 1 GiB at once, first written and then read, fit the budget.
func TestFourGiBStreamsFitTheBudget(t *testing.T) {
	const size, streams = 1 << 30, 4
	s := harness.NewServerWith(t, harness.Config{Sidecar: true})
	m := budgetedOn(t, s, s.Bucket(t).Bucket, "")
	var g errgroup.Group
	for i := range streams {
		g.Go(func() error { return writeAndRead(m.Path(fmt.Sprintf("stream%d", i)), size) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func writeAndRead(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644) // as cp does
	if err != nil {
		return err
	}
	if err := errors.Join(harness.WritePattern(f, size), f.Close()); err != nil {
		return err
	}
	if f, err = os.Open(path); err != nil {
		return err
	}
	return errors.Join(harness.CheckPattern(f, size), f.Close())
}
