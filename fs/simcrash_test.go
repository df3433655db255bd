package fs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// A crash at every request of every short sequence of operations: before the
// request, after it was applied but not answered, and in the middle of its
// body. What the program was told is saved must be there afterwards, whole, and
// what it was doing must be done or not done.

// crasher is the program that makes the operations. It has one file open at most.
type crasher struct {
	mem  *s3test.Mem
	k    *simKernel
	file *simFile
	name string            // of the open file
	text string            // its content
	gone bool              // it was unlinked
	said int               // writes so far, to make the bytes of each its own
	told map[string]string // what the last operation said is in the bucket now
}

// tell notes what an operation that succeeded has told the program.
func (c *crasher) tell(errno syscall.Errno, key, content string) syscall.Errno {
	if errno == 0 {
		c.told[key] = content
	}
	return errno
}

// saved is tell of an operation that saves the open file.
func (c *crasher) saved(errno syscall.Errno) syscall.Errno {
	if c.gone {
		return errno
	}
	return c.tell(errno, c.name, c.text)
}

// crashOps are the operations. They report false where they make no sense.
var crashOps = []struct {
	name string
	do   func(*crasher) (syscall.Errno, bool)
}{
	{"create", func(c *crasher) (syscall.Errno, bool) {
		return c.open("new", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC)
	}},
	{"write 1 part", func(c *crasher) (syscall.Errno, bool) { return c.write(simPart/2, len(c.text)) }},
	{"write 3 parts", func(c *crasher) (syscall.Errno, bool) { return c.write(3*simPart+10, len(c.text)) }},
	{"overwrite", func(c *crasher) (syscall.Errno, bool) {
		if errno, ok := c.open("old", syscall.O_RDWR); ok && errno != 0 {
			return errno, true
		}
		return c.write(12, 20)
	}},
	{"append", func(c *crasher) (syscall.Errno, bool) {
		if errno, ok := c.open("old", syscall.O_WRONLY|syscall.O_APPEND); ok && errno != 0 {
			return errno, true
		}
		return c.write(30, len(c.text))
	}},
	{"copy", func(c *crasher) (syscall.Errno, bool) {
		if c.file != nil {
			return 0, false
		}
		from, errno := c.k.open("old", syscall.O_RDONLY)
		if errno != 0 {
			return errno, true
		}
		defer from.close()
		if errno, _ := c.open("copy", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC); errno != 0 {
			return errno, true
		}
		p, _ := c.mem.Bytes("old")
		errno = c.file.copyRange(from)
		c.text = string(p)
		return errno, true
	}},
	{"truncate", func(c *crasher) (syscall.Errno, bool) {
		if c.file != nil {
			c.text = resize(c.text, 15)
			return c.file.truncate(15), true
		}
		p, _ := c.mem.Bytes("old")
		_, errno := c.k.truncate("old", 15)
		return c.tell(errno, "old", resize(string(p), 15)), true
	}},
	{"fsync", func(c *crasher) (syscall.Errno, bool) {
		if c.file == nil {
			return 0, false
		}
		return c.saved(c.file.fsync()), true
	}},
	{"close", func(c *crasher) (syscall.Errno, bool) {
		if c.file == nil {
			return 0, false
		}
		return c.close(), true
	}},
	{"rename onto", func(c *crasher) (syscall.Errno, bool) {
		from := c.current()
		content := held(contents(c.mem), from)
		_, _, errno := c.k.rename(from, "victim")
		if c.file != nil && !c.gone {
			content = c.text
		}
		if errno == 0 && c.file != nil {
			c.name = "victim"
		}
		if from != "victim" {
			c.tell(errno, from, absent)
		}
		return c.tell(errno, "victim", content), true
	}},
	{"rename directory", func(c *crasher) (syscall.Errno, bool) {
		_, _, errno := c.k.rename("d", "moved")
		c.tell(errno, "d/in", absent)
		c.tell(errno, "moved/in", "inside")
		return c.tell(errno, "moved/sub/in", "below"), true
	}},
	{"unlink", func(c *crasher) (syscall.Errno, bool) {
		name := c.current()
		_, errno := c.k.unlink(name)
		c.gone = c.gone || errno == 0 && c.file != nil
		return c.tell(errno, name, absent), true
	}},
	{"mkdir", func(c *crasher) (syscall.Errno, bool) { return c.tell(c.k.mkdir("m"), "m/", ""), true }},
	{"rmdir", func(c *crasher) (syscall.Errno, bool) { return c.tell(c.k.rmdir("empty"), "empty/", absent), true }},
}

func (c *crasher) open(name string, flags uint32) (syscall.Errno, bool) {
	if c.file != nil {
		return 0, false
	}
	file, errno := c.k.open(name, flags)
	if errno == 0 {
		c.file, c.name, c.text, c.gone = file, name, "", false
		if flags&syscall.O_TRUNC == 0 {
			p, _ := c.mem.Bytes(name)
			c.text = string(p)
		}
	}
	return errno, true
}

func (c *crasher) write(n, off int) (syscall.Errno, bool) {
	if c.file == nil {
		return 0, false
	}
	c.said++
	data := strings.Repeat(fmt.Sprintf("<%d>", c.said), n)[:n]
	if c.file.flags&syscall.O_APPEND != 0 {
		off = len(c.text)
	}
	errno := c.file.write(data, off)
	c.text = splice(c.text, data, off)
	return errno, true
}

func (c *crasher) close() syscall.Errno {
	file := c.file
	c.file = nil
	return c.saved(file.close())
}

// current is what rename and unlink are about.
func (c *crasher) current() string {
	if c.file != nil {
		return c.name
	}
	return "old"
}

// crashBucket is the bucket that every sequence begins with.
func crashBucket() *s3test.Mem {
	mem := simBucket()
	mem.PutBytes("old", []byte(strings.Repeat("old.", 50)))
	mem.PutBytes("victim", []byte("victim"))
	mem.PutBytes("d/", nil)
	mem.PutBytes("d/in", []byte("inside"))
	mem.PutBytes("d/sub/in", []byte("below"))
	mem.PutBytes("empty/", nil)
	return mem
}

func contents(mem *s3test.Mem) map[string]string {
	return (&simWorld{mem: mem}).snapshot()
}

// crashRun is one run of a sequence, up to a crash if there is one.
type crashRun struct {
	states []map[string]string // the bucket before the first operation and after each
	calls  []s3test.Call
	keys   []string // what is written to before each operation and at the end, …
	texts  []string // … and what it holds by then
	during int      // the operation that the crash hit
	mem    *s3test.Mem
}

// play runs a sequence, and closes what is open at its end. It reports false if
// the sequence makes no sense.
func play(t *testing.T, dir string, ops []int, crash s3test.Crash) (*crashRun, bool) {
	t.Helper()
	r := &crashRun{mem: crashBucket()}
	m := newSimMount(t, r.mem, dir, simConfig{
		Config:   Config{TTL: time.Minute, NegativeTTL: time.Minute},
		attempts: 2, sleep: func(context.Context, time.Duration) error { return nil },
	})
	m.faulty.SetPlan(s3test.Plan{Crash: crash})
	m.fs.cfg.RecoveryDir = "" // the crash would take the recovery along
	c := &crasher{mem: r.mem, k: m.k, told: map[string]string{}}
	defer func() {
		if c.file != nil {
			c.close()
		}
		if err := m.end(); err != nil {
			t.Errorf("%s: ending: %v", crashName(ops), err)
		}
	}()
	r.states = append(r.states, contents(r.mem))
	for i := 0; i <= len(ops); i++ {
		var errno syscall.Errno
		ok := true
		r.keys, r.texts = append(r.keys, c.current()), append(r.texts, c.text)
		if i < len(ops) {
			errno, ok = crashOps[ops[i]].do(c)
		} else if c.file != nil {
			errno = c.close()
		}
		if !ok {
			return nil, false
		}
		if m.faulty.Crashed() {
			r.during = i
			break
		}
		if errno != 0 {
			return nil, false // not there, not empty: as it should be, and nothing new
		}
		is := contents(r.mem)
		for key, content := range c.told {
			if held(is, key) != content {
				t.Errorf("%s: operation %d succeeded, and %q holds %s, not %s", crashName(ops), i, key, brief(held(is, key)), brief(content))
			}
		}
		clear(c.told)
		r.states = append(r.states, is)
	}
	r.calls = m.faulty.Log()
	return r, true
}

func crashName(ops []int) string {
	var names []string
	for _, i := range ops {
		names = append(names, crashOps[i].name)
	}
	return strings.Join(names, ", ")
}

// check compares what a crash left with what the same sequence does without.
func (r *crashRun) check(clean *crashRun) string {
	i := r.during
	was, will, is := clean.states[i], clean.states[min(i+1, len(clean.states)-1)], contents(r.mem)
	all := map[string]bool{}
	for _, m := range []map[string]string{was, will, is} {
		for key := range m {
			all[key] = true
		}
	}
	for key := range all {
		now := held(is, key)
		if now == held(was, key) || now == held(will, key) {
			continue
		}
		if key == clean.keys[i] && now == clean.texts[i] {
			continue // saved before it is renamed, or read back before it is unlinked
		}
		return fmt.Sprintf("%q held %s, should then hold %s, and holds %s", key, brief(held(was, key)), brief(held(will, key)), brief(now))
	}
	for key, content := range was {
		if held(is, key) == content {
			continue
		}
		for to, moved := range will {
			if moved == content && held(was, to) != content && held(is, to) != content && content != "" {
				return fmt.Sprintf("%s was under %q, should be under %q, and is nowhere", brief(content), key, to)
			}
		}
	}
	for _, u := range r.mem.Uploads() {
		if !slices.Contains(clean.keys[:min(i+2, len(clean.keys))], u.Key) {
			return fmt.Sprintf("an upload of %q is left, which nobody was writing", u.Key)
		}
	}
	return ""
}

// crashMoments are the moments that differ for a call.
func crashMoments(op string) []s3test.Moment {
	switch op {
	case s3.OpPut, s3.OpPart:
		return []s3test.Moment{s3test.BeforeCall, s3test.AfterCall, s3test.InBody}
	case s3.OpGet:
		return []s3test.Moment{s3test.BeforeCall, s3test.InBody}
	case s3.OpHead, s3.OpList:
		return []s3test.Moment{s3test.BeforeCall}
	}
	return []s3test.Moment{s3test.BeforeCall, s3test.AfterCall}
}

// TestNothingIsLostWhereverItCrashes enumerates the sequences of up to three
// operations and all their crash points.
func TestNothingIsLostWhereverItCrashes(t *testing.T) {
	dir := privateDir(t)
	longest := 3
	if testing.Short() {
		longest = 2
	}
	sequences, runs := 0, 0
	var extend func(ops []int)
	extend = func(ops []int) {
		if len(ops) > 0 {
			n, ok := crashEverywhere(t, dir, ops)
			if !ok || t.Failed() {
				return
			}
			if n > 0 {
				sequences++
			}
			runs += n
		}
		for i := range crashOps {
			if len(ops) < longest {
				extend(append(slices.Clone(ops), i))
			}
		}
	}
	extend(nil)
	t.Logf("%d sequences, %d crashes", sequences, runs)
}

// crashEverywhere crashes a sequence at each of its calls.
func crashEverywhere(t *testing.T, dir string, ops []int) (runs int, ok bool) {
	t.Helper()
	clean, ok := play(t, filepath.Join(dir, "a"), ops, s3test.Crash{})
	if !ok {
		return 0, false
	}
	for _, call := range clean.calls {
		for _, when := range crashMoments(call.Op) {
			crashed, ok := play(t, filepath.Join(dir, "a"), ops, s3test.Crash{At: call.N, When: when})
			if !ok {
				continue // the crash was in somebody's background
			}
			runs++
			problem := crashed.check(clean)
			if problem == "" {
				m := newSimMount(t, crashed.mem, filepath.Join(dir, "b"), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
				problem = sameAsBucket(m, contents(crashed.mem))
				if err := m.end(); err != nil {
					problem = err.Error()
				}
			}
			if problem != "" {
				t.Errorf("%s; crash at call %d %s %q, moment %d, in operation %d: %s", crashName(ops), call.N, call.Op, call.Key, when, crashed.during, problem)
			}
		}
	}
	return runs, true
}

// privateDir is a directory in memory, where there is one: recovery files are
// synced.
func privateDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "cgs3fs-sim-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
