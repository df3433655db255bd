package fs

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// Two mounts and a client of the bucket at the same time, for the race
// detector and for what SEMANTICS.md says of several writers.

// twoMounts are two mounts of one bucket, ended and checked with the test.
func twoMounts(t *testing.T, mem *s3test.Mem, cfg Config) [2]*simMount {
	t.Helper()
	dir := privateDir(t)
	var out [2]*simMount
	for i := range out {
		m := newSimMount(t, mem, filepath.Join(dir, fmt.Sprint(i)), simConfig{
			Config: cfg, attempts: 3, parallel: 4, sleep: func(context.Context, time.Duration) error { return nil },
		})
		t.Cleanup(func() {
			if err := m.end(); err != nil {
				t.Error(err)
			}
		})
		out[i] = m
	}
	return out
}

func rounds(all int) int {
	if testing.Short() {
		return all / 10
	}
	return all
}

// together runs functions at the same time.
func together(calls ...func()) {
	var wg sync.WaitGroup
	for _, call := range calls {
		wg.Go(call)
	}
	wg.Wait()
}

func TestExclusiveCreationHasOneWinner(t *testing.T) {
	for _, atOpen := range []bool{false, true} {
		mem := simBucket()
		mounts := twoMounts(t, mem, Config{TTL: time.Minute, NegativeTTL: time.Minute, ExclusiveAtOpen: atOpen})
		for round := range rounds(300) {
			name := fmt.Sprintf("lock%d", round)
			var winners atomic.Int32
			var winner atomic.Value
			won := func(who string) { winners.Add(1); winner.Store(who) }
			compete := func(i int) func() {
				return func() {
					f, errno := mounts[i].k.open(name, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL)
					if errno != 0 {
						return
					}
					who := fmt.Sprintf("mount %d", i)
					errno = f.write(who, 0)
					if errno = max(errno, f.close()); errno == 0 {
						won(who)
					}
				}
			}
			together(compete(0), compete(1), func() {
				_, err := mem.Put(t.Context(), name, strings.NewReader("client"), s3.PutOptions{IfNoneMatch: "*"})
				if err == nil {
					won("client")
				}
			})
			got, _ := mem.Bytes(name)
			if winners.Load() != 1 || winner.Load() != string(got) {
				t.Fatalf("round %d, at open %v: %d winners, the last %v, and %q is in the bucket", round, atOpen, winners.Load(), winner.Load(), got)
			}
		}
	}
}

// TestEditsInPlaceAreNeverLostSilently has everybody add lines to one object. A
// line whose close succeeded stays; the others are in a recovery directory.
func TestEditsInPlaceAreNeverLostSilently(t *testing.T) {
	mem := simBucket()
	mounts := twoMounts(t, mem, Config{TTL: time.Minute, NegativeTTL: time.Minute})
	mem.PutBytes("list", []byte("begin\n"))
	var mu sync.Mutex
	var acked []string
	var refused atomic.Int64
	ack := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		acked = append(acked, line)
	}
	editor := func(i int) func() {
		return func() {
			for n := range rounds(150) {
				f, errno := mounts[i].k.open("list", syscall.O_RDWR)
				if errno != 0 {
					continue // replaced twice between two lookups
				}
				line := fmt.Sprintf("mount %d, line %d\n", i, n)
				old, errno := f.read(0, 1<<20)
				if errno == 0 {
					errno = f.write(line, len(old))
				}
				closed := f.close()
				switch {
				case errno != 0:
				case closed == 0:
					ack(line)
				case closed == syscall.ESTALE:
					refused.Add(1)
				default:
					t.Errorf("close: %v", closed)
				}
			}
		}
	}
	client := func() {
		for n := range rounds(150) {
			body, err := mem.Get(t.Context(), "list", s3.GetOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			var old bytes.Buffer
			old.ReadFrom(body)
			body.Close()
			line := fmt.Sprintf("client, line %d\n", n)
			old.WriteString(line)
			if _, err := mem.Put(t.Context(), "list", bytes.NewReader(old.Bytes()), s3.PutOptions{IfMatch: body.Info.ETag}); err == nil {
				ack(line)
			}
		}
	}
	together(editor(0), editor(1), client)
	final, _ := mem.Bytes("list")
	for _, line := range acked {
		if n := strings.Count(string(final), line); n != 1 {
			t.Errorf("%q was acknowledged and is there %d times", line, n)
		}
	}
	if lines := strings.Count(string(final), "\n"); lines != len(acked)+1 {
		t.Errorf("%d lines are there, %d were acknowledged", lines-1, len(acked))
	}
	if kept := mounts[0].fs.Rescued() + mounts[1].fs.Rescued(); int64(kept) != refused.Load() {
		t.Errorf("%d closes were refused, and %d contents were kept", refused.Load(), kept)
	}
	t.Logf("%d lines acknowledged, %d refused and kept", len(acked), refused.Load())
}

// TestRacingProgramsLeaveWholeFiles has many programs do everything to a few
// names at once while calls fail. Every object is then one that somebody wrote
// as a whole, at every moment.
func TestRacingProgramsLeaveWholeFiles(t *testing.T) {
	mem := simBucket()
	mounts := twoMounts(t, mem, Config{TTL: 50 * time.Millisecond, NegativeTTL: 50 * time.Millisecond})
	for i, m := range mounts {
		m.faulty.SetPlan(s3test.Plan{Seed: uint64(i), Rules: []s3test.Rule{
			{P: 0.03, Fault: s3test.Fault{Do: s3test.Fail}},
			{P: 0.03, Fault: s3test.Fault{Do: s3test.Drop}},
			{P: 0.01, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrDenied}},
		}})
	}
	var calls []func()
	for i, m := range mounts {
		calls = append(calls, func() { raceWrites(m, uint64(i)) })
		for j := range 3 {
			calls = append(calls, func() { raceNames(m, uint64(10*i+j)) })
		}
	}
	calls = append(calls, func() {
		for n := range rounds(600) {
			mem.PutBytes(simFiles[n%len(simFiles)], []byte(whole(9, n)))
			for key, content := range contents(mem) {
				if !isWhole(content) {
					t.Errorf("%q holds %s", key, brief(content))
				}
			}
		}
	})
	together(calls...)
	for _, m := range mounts {
		m.fs.work.Wait()
		m.faulty.SetPlan(s3test.Plan{})
	}
	dir := privateDir(t)
	fresh := newSimMount(t, mem, dir, simConfig{})
	if problem := sameAsBucket(fresh, contents(mem)); problem != "" {
		t.Error(problem)
	}
	if err := fresh.end(); err != nil {
		t.Error(err)
	}
}

// whole is a content that shows whether it is all there.
func whole(writer, n int) string {
	size := 1 + n%7*50
	return fmt.Sprintf("%d:%s", size, strings.Repeat(string(rune('a'+writer)), size))
}

func isWhole(content string) bool {
	if content == "" {
		return true // created, and not yet written
	}
	var size int
	var rest string
	if _, err := fmt.Sscanf(content, "%d:%s", &size, &rest); err != nil {
		return false
	}
	return len(rest) == size && rest == strings.Repeat(rest[:1], size)
}

// raceWrites replaces files whole.
func raceWrites(m *simMount, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	for n := range rounds(300) {
		f, errno := m.k.open(simFiles[r.IntN(len(simFiles))], syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC)
		if errno == 0 {
			f.write(whole(int(seed), n), 0)
			f.close()
		}
	}
}

// raceNames does everything else, whatever comes of it.
func raceNames(m *simMount, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 3))
	for range rounds(300) {
		file, other, dir := simFiles[r.IntN(len(simFiles))], simFiles[r.IntN(len(simFiles))], simDirs[r.IntN(len(simDirs))]
		switch r.IntN(10) {
		case 0, 1:
			m.k.rename(file, other)
		case 2:
			m.k.rename("d", "f")
		case 3:
			m.k.rename("f", "d")
		case 4:
			m.k.unlink(file)
		case 5:
			m.k.mkdir(dir)
		case 6:
			m.k.rmdir(dir)
		case 7:
			m.k.list(dir)
		case 8:
			m.k.stat(file)
		default:
			if f, errno := m.k.open(file, syscall.O_RDONLY); errno == 0 {
				f.read(0, 1000)
				f.fsync()
				f.close()
			}
		}
	}
}
