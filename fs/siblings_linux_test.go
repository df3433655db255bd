package fs

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// walked is a mount of a directory "d" of n small files, which opens ahead.
func walked(t *testing.T, n int, cfg Config) *rig {
	t.Helper()
	mem := s3test.NewMem(s3test.MemConfig{})
	for i := range n {
		mem.PutBytes(fmt.Sprintf("d/%03d", i), fmt.Appendf(nil, "content %d", i))
	}
	cfg.ReadAheadFiles = true
	r := mountOver(t, mem, cfg)
	r.names("d")
	r.faulty.Reset()
	return r
}

func (r *rig) wantFile(i int) {
	r.Helper()
	if got, want := r.read(fmt.Sprintf("d/%03d", i)), fmt.Sprintf("content %d", i); got != want {
		r.Errorf("file %d holds %q, want %q", i, got, want)
	}
}

// early is how many files are opened ahead.
func (r *rig) early() int {
	r.fs.siblings.mu.Lock()
	defer r.fs.siblings.mu.Unlock()
	return len(r.fs.siblings.early)
}

func TestFilesOfAWalkAreOpenedAhead(t *testing.T) {
	t.Run("by name", func(t *testing.T) {
		walkAhead(t, func(a, b os.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	})
	t.Run("by inode, as cp -r does", func(t *testing.T) {
		walkAhead(t, func(a, b os.FileInfo) int {
			return cmp.Compare(a.Sys().(*syscall.Stat_t).Ino, b.Sys().(*syscall.Stat_t).Ino)
		})
	})
}

func walkAhead(t *testing.T, order func(a, b os.FileInfo) int) {
	const files = 100
	r := walked(t, files, Config{aheadAge: time.Hour})
	var infos []os.FileInfo
	for i := range files {
		info, err := os.Stat(r.path(fmt.Sprintf("d/%03d", i)))
		r.must(err)
		infos = append(infos, info)
	}
	slices.SortFunc(infos, order)
	var waiting, together atomic.Int64
	r.faulty.SetPlan(s3test.Plan{
		Rules: []s3test.Rule{{Op: s3.OpGet, Fault: s3test.Fault{Delay: 50 * time.Millisecond}}},
		Sleep: func(_ context.Context, d time.Duration) error {
			if waiting.Add(1) > 1 {
				together.Add(1)
			}
			time.Sleep(d)
			waiting.Add(-1)
			return nil
		},
	})
	began := time.Now()
	for _, info := range infos {
		r.read("d/" + info.Name())
	}
	t.Logf("%d files at 50 ms took %v", files, time.Since(began))
	if n := together.Load(); n < files*3/4 {
		t.Errorf("only %d of %d files were asked for while the answer to another was awaited", n, files)
	}
	r.calls(map[string]int{s3.OpGet: files})
}

func TestFilesReadInNoOrderAreNotOpenedAhead(t *testing.T) {
	r := walked(t, 100, Config{})
	for i := 99; i >= 0; i -= 3 {
		r.wantFile(i)
	}
	if n := r.early(); n != 0 {
		t.Errorf("%d files were opened ahead", n)
	}
	r.calls(map[string]int{s3.OpGet: 34})
}

// TestOwnChangesGoBeforeWhatWasOpenedAhead changes a file of which the content
// before is here already.
func TestOwnChangesGoBeforeWhatWasOpenedAhead(t *testing.T) {
	const file, gone = "d/008", ""
	tests := map[string]struct {
		change func(r *rig)
		want   string
	}{
		"overwritten":        {func(r *rig) { r.write(file, "new") }, "new"},
		"cut":                {func(r *rig) { r.must(os.Truncate(r.path(file), 3)) }, "con"},
		"replaced by rename": {func(r *rig) { r.must(os.Rename(r.path("d/000"), r.path(file))) }, "content 0"},
		"removed":            {func(r *rig) { r.must(os.Remove(r.path(file))) }, gone},
		"renamed away, another takes the name": {func(r *rig) {
			r.must(os.Rename(r.path(file), r.path("elsewhere")))
			r.must(os.Rename(r.path("d/001"), r.path(file)))
		}, "content 1"},
		"of another directory now": {func(r *rig) {
			r.must(os.Mkdir(r.path("other"), 0o755))
			r.write("other/008", "of another")
			r.must(os.Rename(r.path("d"), r.path("before")))
			r.must(os.Rename(r.path("other"), r.path("d")))
		}, "of another"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := walked(t, 20, Config{aheadAge: time.Hour})
			for i := range 6 {
				r.wantFile(i)
			}
			waitFor(t, func() bool { return r.early() >= 8 })
			test.change(r)
			if test.want == gone {
				_, err := os.Open(r.path(file))
				r.want(err, syscall.ENOENT)
			} else if got := r.read(file); got != test.want {
				t.Errorf("the file holds %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhatWasOpenedAheadIsSoonTooOld(t *testing.T) {
	var ahead atomic.Int64
	base := time.Now()
	r := walked(t, 20, Config{aheadAge: time.Hour, Now: func() time.Time { return base.Add(time.Duration(ahead.Load())) }})
	for i := range 4 {
		r.wantFile(i)
	}
	waitFor(t, func() bool { return r.early() > 0 })
	r.mem.PutBytes("d/004", []byte("theirs"))
	ahead.Store(int64(time.Hour + time.Millisecond))
	if got := r.read("d/004"); got != "theirs" {
		t.Errorf("read %q, which was opened ahead more than an hour before", got)
	}
}

func TestWhatNobodyReadsIsGivenUp(t *testing.T) {
	r := walked(t, 20, Config{})
	for i := range 5 {
		r.wantFile(i)
	}
	waitFor(t, func() bool { return r.faulty.Calls()[s3.OpGet] > 5 })
	waitFor(t, func() bool { return r.early() == 0 && r.mem.OpenBodies() == 0 && r.fs.xfer.Stats().Readers == 0 })
}

// TestManyWalksAtOnce has several programs walk while another changes files.
func TestManyWalksAtOnce(t *testing.T) {
	r := walked(t, 200, Config{})
	ctx, stop := context.WithCancel(t.Context())
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for i := range 200 {
				r.wantFile(i)
			}
		})
	}
	var changer sync.WaitGroup
	changer.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			r.write("new", fmt.Sprintf("content %d", i%200)) // O_TRUNC would show the file empty for a moment
			r.must(os.Rename(r.path("new"), r.path(fmt.Sprintf("d/%03d", i%200))))
		}
	})
	g.Wait()
	stop()
	changer.Wait()
}
