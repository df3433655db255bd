package faults

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// partSize is the smallest that S3 allows, so that few bytes make many parts.
const partSize = 5 << 20

// Only a kill that strikes a request counts. A sequence goes on until it does, and
// one that makes too few requests for that is followed by another.
const (
	killsThatStrike = 200
	mostKills       = 2 * killsThatStrike
	mostSteps       = 40 // until a kill strikes
)

// TestKilledAtAnyRequest runs short random sequences of operations, kills the
// program with SIGKILL at one of the requests that they make (before the server
// has it, in the middle of its body, or when it was done but not answered),
// and looks at the bucket: what was acknowledged is there, what was under way
// is there whole or not at all. Then it mounts again, which must clean up.
func TestKilledAtAnyRequest(t *testing.T) {
	deadline := harness.SoakDeadline(t)
	seed := harness.Seed(t)
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket, "--part-size", "5M")
	struck := map[string]int{}
	hits, run := 0, 0
	for ; hits < killsThatStrike && run < mostKills || time.Now().Before(deadline); run++ {
		rnd := rand.New(rand.NewPCG(seed, uint64(run)))
		w := &victim{
			m: m, client: client, rnd: rnd, name: fmt.Sprintf("run%d", run),
			have: map[string][]byte{}, dirs: map[string]bool{}, struck: struck,
		}
		if err := os.Mkdir(m.Path(w.name), 0o755); err != nil {
			t.Fatalf("seed %d, run %d: %v", seed, run, err)
		}
		killer := harness.NewKiller(s.Proxy.Upstream(), nil, 1+rnd.IntN(8), harness.Moment(rnd.IntN(3)))
		killer.Aim(m.PID())
		s.Proxy.Harm(killer)
		if err := w.untilStruck(killer); err != nil {
			t.Fatalf("seed %d, run %d: %v though nobody was killed\n%s", seed, run, err, strings.Join(w.history, "\n"))
		}
		s.Proxy.Harm(nil)
		if killer.Struck() {
			hits++
		} else {
			m.Signal(t, syscall.SIGKILL)
		}
		m.Wait(t)
		killer.Wait()
		if err := w.verify(t); err != nil {
			t.Fatalf("seed %d, run %d, killed %s request %d: %v\n%s", seed, run, killer.Moment, killer.At, err, strings.Join(w.history, "\n"))
		}
		m.Start(t) // heals the dead mount
		awaitNoUploads(t, client)
		if run%20 == 19 {
			if err := os.RemoveAll(m.Path(w.name)); err != nil {
				t.Fatalf("seed %d, run %d: removing: %v", seed, run, err)
			}
		}
	}
	t.Logf("%d of %d kills struck a request, in %v", hits, run, struck)
	if hits < killsThatStrike {
		t.Errorf("only %d of %d kills struck a request: the test proves too little", hits, run)
	}
}

// victim does operations below a directory of the mount and knows what the
// bucket must hold if the program dies now.
type victim struct {
	m       *harness.Mount
	client  *harness.Client
	rnd     *rand.Rand
	name    string
	have    map[string][]byte // what was acknowledged, by path below name
	dirs    map[string]bool   // the directories that were
	pending pending           // what the operation under way may do
	history []string
	doing   string         // the operation under way
	struck  map[string]int // how often a kill struck, by operation
}

// pending is the operation under way: for each path the contents that it may
// leave there, nil standing for no object.
type pending struct {
	may   map[string][][]byte
	moved map[string]string // a rename: of each old path and its new one, one must hold the content
	dirs  map[string]bool   // the directories that it may make or remove; true: made, if it succeeds
}

func (w *victim) path(name string) string { return w.m.Path(w.name, name) }

func (w *victim) content() []byte {
	size := []int{0, 10, 70_000, partSize + 1, 3*partSize + 77}[w.rnd.IntN(5)]
	return harness.Noise(w.rnd.Uint64(), size)
}

func (w *victim) file() string {
	return []string{"a", "b", "dir/c", "dir/d"}[w.rnd.IntN(4)]
}

// untilStruck does operations until the program is killed, or for long enough.
// An error is of an operation that failed without that.
func (w *victim) untilStruck(k *harness.Killer) error {
	for range mostSteps {
		err := w.step()
		switch {
		case k.Struck():
			w.struck[w.doing]++
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// step does one operation and, if it was acknowledged, makes its result the
// state that must not be lost.
func (w *victim) step() error {
	steps := []func() (func() error, map[string][]byte){
		w.write, w.writeTwice, w.overwrite, w.append, w.truncate, w.rename, w.renameDir, w.unlink, w.mkdir, w.rmdir,
	}
	do, becomes := steps[w.rnd.IntN(len(steps))]()
	if do == nil {
		return nil
	}
	if w.pending.may == nil {
		w.pending.may = map[string][][]byte{}
	}
	for name, data := range becomes {
		w.pending.may[name] = append(w.pending.may[name], data)
	}
	if err := do(); err != nil {
		return err
	}
	for name, data := range becomes {
		if data == nil {
			delete(w.have, name)
		} else {
			w.have[name] = data
		}
	}
	for name, made := range w.pending.dirs {
		if made {
			w.dirs[name] = true
		} else {
			delete(w.dirs, name)
		}
	}
	w.pending = pending{}
	return nil
}

// note tells what is done; its first word is the operation's name.
func (w *victim) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.doing, _, _ = strings.Cut(text, " ")
	w.history = append(w.history, text)
}

func (w *victim) write() (func() error, map[string][]byte) {
	name, data := w.file(), w.content()
	w.note("write %d to %s", len(data), name)
	return func() error {
		if err := w.parent(name); err != nil {
			return err
		}
		return os.WriteFile(w.path(name), data, 0o644)
	}, map[string][]byte{name: data}
}

// parent makes the directory of a file that is going to be made, if need be.
func (w *victim) parent(name string) error {
	dir := filepath.Dir(name)
	if dir == "." || w.dirs[dir] {
		return nil
	}
	w.pending.dirs = map[string]bool{dir: true}
	if err := os.Mkdir(w.path(dir), 0o755); err != nil {
		return err
	}
	w.dirs[dir] = true
	return nil
}

// writeTwice saves with fsync half way: from then on the first half is
// acknowledged.
func (w *victim) writeTwice() (func() error, map[string][]byte) {
	name, data := w.file(), w.content()
	half := data[:len(data)/2]
	w.note("write %d to %s, fsync, write the rest", len(data), name)
	w.pending.may = map[string][][]byte{name: {half}}
	return func() error {
		if err := w.parent(name); err != nil {
			return err
		}
		f, err := os.Create(w.path(name))
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.Write(half); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		w.have[name] = half
		if _, err := f.Write(data[len(half):]); err != nil {
			return err
		}
		return f.Close()
	}, map[string][]byte{name: data}
}

// existing is one of the files there are.
func (w *victim) existing() (string, bool) {
	names := slices.Sorted(maps.Keys(w.have))
	if len(names) == 0 {
		return "", false
	}
	return names[w.rnd.IntN(len(names))], true
}

// edit opens an existing file and changes it.
func (w *victim) edit(what string, flags int, change func(old []byte) (data []byte, do func(*os.File) error)) (func() error, map[string][]byte) {
	name, ok := w.existing()
	if !ok {
		return nil, nil
	}
	data, do := change(w.have[name])
	w.note("%s %s from %d to %d", what, name, len(w.have[name]), len(data))
	return func() error {
		f, err := os.OpenFile(w.path(name), flags, 0)
		if err != nil {
			return err
		}
		return errors.Join(do(f), f.Close())
	}, map[string][]byte{name: data}
}

func (w *victim) overwrite() (func() error, map[string][]byte) {
	patch := harness.Noise(w.rnd.Uint64(), 1+w.rnd.IntN(100_000))
	return w.edit("overwrite in", os.O_RDWR, func(old []byte) ([]byte, func(*os.File) error) {
		off := w.rnd.IntN(len(old) + 1)
		data := append(bytes.Clone(old[:off]), patch...)
		if end := off + len(patch); end < len(old) {
			data = append(data, old[end:]...)
		}
		return data, func(f *os.File) error {
			_, err := f.WriteAt(patch, int64(off))
			return err
		}
	})
}

func (w *victim) append() (func() error, map[string][]byte) {
	more := harness.Noise(w.rnd.Uint64(), 1+w.rnd.IntN(100_000))
	return w.edit("append to", os.O_WRONLY|os.O_APPEND, func(old []byte) ([]byte, func(*os.File) error) {
		return append(bytes.Clone(old), more...), func(f *os.File) error {
			_, err := f.Write(more)
			return err
		}
	})
}

func (w *victim) truncate() (func() error, map[string][]byte) {
	return w.edit("truncate", os.O_WRONLY, func(old []byte) ([]byte, func(*os.File) error) {
		size := w.rnd.IntN(len(old) + 1000)
		data := append(bytes.Clone(old[:min(size, len(old))]), make([]byte, max(0, size-len(old)))...)
		return data, func(f *os.File) error { return f.Truncate(int64(size)) }
	})
}

func (w *victim) rename() (func() error, map[string][]byte) {
	from, ok := w.existing()
	to := w.file()
	if !ok || from == to {
		return nil, nil
	}
	w.note("rename %s to %s", from, to)
	w.pending.moved = map[string]string{from: to}
	return func() error {
		if err := w.parent(to); err != nil {
			return err
		}
		return os.Rename(w.path(from), w.path(to))
	}, map[string][]byte{from: nil, to: w.have[from]}
}

func (w *victim) renameDir() (func() error, map[string][]byte) {
	becomes, moved := map[string][]byte{}, map[string]string{}
	to := fmt.Sprintf("dir%d", w.rnd.Uint32())
	for name, data := range w.have {
		if base, ok := strings.CutPrefix(name, "dir/"); ok {
			becomes[name], becomes[to+"/"+base] = nil, data
			moved[name] = to + "/" + base
		}
	}
	if len(moved) == 0 {
		return nil, nil
	}
	w.note("renamedir dir with %d files to %s", len(moved), to)
	w.pending.moved, w.pending.dirs = moved, map[string]bool{"dir": false, to: true}
	return func() error { return os.Rename(w.path("dir"), w.path(to)) }, becomes
}

func (w *victim) unlink() (func() error, map[string][]byte) {
	name, ok := w.existing()
	if !ok {
		return nil, nil
	}
	w.note("unlink %s", name)
	return func() error { return os.Remove(w.path(name)) }, map[string][]byte{name: nil}
}

func (w *victim) mkdir() (func() error, map[string][]byte) {
	name := []string{"dir", "made", "made/in"}[w.rnd.IntN(3)]
	if parent := filepath.Dir(name); w.dirs[name] || parent != "." && !w.dirs[parent] {
		return nil, nil
	}
	w.note("mkdir %s", name)
	w.pending.dirs = map[string]bool{name: true}
	return func() error { return os.Mkdir(w.path(name), 0o755) }, nil
}

// rmdir removes an empty directory, or tries one that is not, which must be
// refused.
func (w *victim) rmdir() (func() error, map[string][]byte) {
	names := slices.Sorted(maps.Keys(w.dirs))
	if len(names) == 0 {
		return nil, nil
	}
	name := names[w.rnd.IntN(len(names))]
	if within := name + "/"; hasPrefix(maps.Keys(w.have), within) || hasPrefix(maps.Keys(w.dirs), within) {
		w.note("rmdir-of-full %s", name)
		return func() error {
			err := syscall.Rmdir(w.path(name))
			if errors.Is(err, syscall.ENOTEMPTY) {
				return nil
			}
			return fmt.Errorf("removing %s, which is not empty: %w", name, cmp.Or(err, errors.New("it succeeded")))
		}, nil
	}
	w.note("rmdir %s", name)
	w.pending.dirs = map[string]bool{name: false}
	return func() error { return syscall.Rmdir(w.path(name)) }, nil
}

func hasPrefix(names iter.Seq[string], prefix string) bool {
	for name := range names {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// verify compares the bucket, through an independent client, with what must
// and what may be there.
func (w *victim) verify(t *testing.T) error {
	got, dirs := map[string][]byte{}, map[string]bool{}
	for _, key := range w.client.Keys(t, w.name+"/") {
		name := strings.TrimPrefix(key, w.name+"/")
		for i := range len(name) {
			if name[i] == '/' { // a directory's marker is one itself
				dirs[name[:i]] = true
			}
		}
		if name != "" && !strings.HasSuffix(name, "/") {
			got[name] = w.client.Get(t, key)
		}
	}
	if err := w.verifyDirs(dirs); err != nil {
		return err
	}
	for name, data := range w.have {
		if !w.allowed(name, data, got) {
			return fmt.Errorf("%s is %s, acknowledged was %s", name, describe(got, name), sum(data))
		}
	}
	for name := range got {
		if _, ok := w.have[name]; !ok && !w.allowed(name, nil, got) {
			return fmt.Errorf("%s is %s, and should not be there", name, describe(got, name))
		}
	}
	for from, to := range w.pending.moved {
		if want := w.have[from]; !same(got, from, want) && !same(got, to, want) {
			return fmt.Errorf("a rename under way lost %s: it is %s, and %s is %s", from, describe(got, from), to, describe(got, to))
		}
	}
	return nil
}

// verifyDirs does so with directories: those that a key is in, be it their own
// marker.
func (w *victim) verifyDirs(got map[string]bool) error {
	for name := range w.dirs {
		if _, busy := w.pending.dirs[name]; !got[name] && !busy {
			return fmt.Errorf("the directory %s, which was acknowledged, is gone", name)
		}
	}
	for name := range got {
		if _, busy := w.pending.dirs[name]; !w.dirs[name] && !busy {
			return fmt.Errorf("the directory %s should not be there", name)
		}
	}
	return nil
}

// allowed reports whether a path holds what was acknowledged or what the
// operation under way may leave.
func (w *victim) allowed(name string, acknowledged []byte, got map[string][]byte) bool {
	if same(got, name, acknowledged) {
		return true
	}
	return slices.ContainsFunc(w.pending.may[name], func(data []byte) bool { return same(got, name, data) })
}

// same compares; no object and nil are the same, an empty object is something.
func same(got map[string][]byte, name string, want []byte) bool {
	data, ok := got[name]
	if !ok || want == nil {
		return !ok && want == nil
	}
	return bytes.Equal(data, want)
}

func describe(got map[string][]byte, name string) string {
	data, ok := got[name]
	if !ok {
		return "no object"
	}
	return sum(data)
}

func sum(data []byte) string {
	return fmt.Sprintf("%d bytes beginning %x", len(data), data[:min(len(data), 8)])
}

// awaitNoUploads waits for the clean-up that a mount does in the background
// when it begins.
func awaitNoUploads(t *testing.T, client *harness.Client) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		pending, err := client.Pending(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(pending) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a later mount did not clean up the uploads of %q", pending)
		}
	}
}
