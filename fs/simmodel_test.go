package fs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// The model: what the promises of SEMANTICS.md allow a step to do. One program
// makes one system call at a time; afterwards the bucket is looked at from
// behind. Every key that the call is not about must be as before, the others
// must hold what the call may leave there. A call that failed may have been
// applied or not, but never in part.

// absent stands for "no object" where contents are compared.
const absent = "\x00absent"

// simState is a file that is open in one mount.
type simState struct {
	mount   int
	id      uint64 // of the inode
	key     string
	alias   string // another key that it may have been left at
	content string
	bases   []string // an edit may be saved over these contents only
	mode    writeMode
	drafted bool // a descriptor for writing has been used and not all are closed
	dirty   bool
	orphan  bool // unlinked here
	writers int
	refs    int

	maybeSaved bool // a save that failed has been applied all the same
	loose      bool // …, or was published: which condition holds now is unknown
	replaced   bool // the bucket has held what it may not be saved over, which a mount does not forget
	badRead    bool // failures have happened that a read may still tell
	badWrite   bool // … or a save
	dead       bool // the content went to the recovery directory: its descriptors are stale
}

// conflict reports whether the bucket holds what the file may not be saved over.
func (st *simState) conflict(now string) bool {
	switch st.mode {
	case writeOver:
		return !slices.Contains(st.bases, now)
	case writeNew:
		return now != absent
	}
	return false
}

func (st *simState) edit(content string) {
	if !st.drafted {
		st.mode, st.bases = writeOver, []string{st.content}
		if content == "" {
			st.mode = writeWhole // cut to nothing: nothing of the version is kept
		}
	}
	st.content, st.drafted, st.dirty, st.maybeSaved = content, true, true, false
}

// perhapsSaved notes that a save failed and was applied, or that one succeeded
// and the file system may not know.
func (st *simState) perhapsSaved() {
	st.maybeSaved = true
	switch st.mode {
	case writeNew:
		st.mode, st.bases = writeOver, []string{absent, st.content}
	case writeOver:
		st.bases = append(slices.Clone(st.bases), st.content)
	default:
		st.loose = true
	}
}

func (st *simState) wasSaved() {
	st.dirty, st.maybeSaved, st.loose, st.badWrite, st.replaced = false, false, false, false, false
	st.mode, st.bases = writeOver, []string{st.content}
}

type simKey struct {
	mount int
	id    uint64
}

// simFD is one open descriptor.
type simFD struct {
	file *simFile
	st   *simState
}

// simWorld is a bucket with its mounts and what the model knows of them.
type simWorld struct {
	mem    *s3test.Mem
	mounts []*simMount
	ttl    time.Duration
	atOpen bool // O_EXCL makes the object at open

	bucket  map[string]string // as it was before the step
	after   map[string]string // and after it
	fired   bool              // a failure reached the FS in this step
	rescued int               // files that went to the recovery directory in this step
	slots   []*simFD
	states  map[simKey]*simState
	foreign []map[string]time.Time // by mount: when others last changed a key

	actor    int               // the mount of the last step, -1 for somebody else
	versions map[string]string // the ETags before it
	saved    []simSaved        // what must be in a recovery directory
	stamp    int               // makes every write's bytes unique
	steps    int
	stop     bool            // what happened can't be told for sure: no more steps
	results  []syscall.Errno // since they were last looked at, for a trace
}

type simSaved struct {
	mount               int
	key, alias, content string
	applied             bool // a save that failed may have been applied all the same
}

func (w *simWorld) snapshot() map[string]string {
	now := map[string]string{}
	for _, key := range w.mem.Keys() {
		p, _ := w.mem.Bytes(key)
		now[key] = string(p)
	}
	return now
}

func held(bucket map[string]string, key string) string {
	if c, ok := bucket[key]; ok {
		return c
	}
	return absent
}

func under(bucket map[string]string, dir string) []string {
	var keys []string
	for key := range bucket {
		if strings.HasPrefix(key, dir+"/") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func parentOf(path string) string {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)]
}

// bytes are n bytes that no other write has.
func (w *simWorld) bytes(n int) string {
	w.stamp++
	s := fmt.Sprintf("<%d>", w.stamp)
	return strings.Repeat(s, n/len(s)+1)[:n]
}

func splice(content, data string, off int) string {
	if off > len(content) {
		content += strings.Repeat("\x00", off-len(content))
	}
	return content[:off] + data + content[min(len(content), off+len(data)):]
}

func resize(content string, size int) string { return splice(content, "", size)[:size] }

// tri is an answer that may depend on what a mount still remembers.
type tri int

const (
	no tri = iota
	maybe
	yes
)

// forgetful reports whether a mount may still hold an old view of a path.
func (w *simWorld) forgetful(mount int, path string) bool {
	for key, at := range w.foreign[mount] {
		related := key == path || strings.HasPrefix(key, path+"/") || strings.HasPrefix(path, strings.TrimSuffix(key, "/")+"/") ||
			parentOf(strings.TrimSuffix(key, "/")) == parentOf(path)
		if related && time.Since(at) < w.ttl {
			return true
		}
	}
	return false
}

// unsavedAt are the unsaved files that a mount shows under a path.
func (w *simWorld) unsavedAt(mount int, path string) []*simState {
	var out []*simState
	for _, st := range w.states {
		if st.mount == mount && st.dirty && !st.orphan && st.key == path {
			out = append(out, st)
		}
	}
	return out
}

// hasFile tells whether a mount shows a file.
func (w *simWorld) hasFile(mount int, path string) tri {
	t := no
	if held(w.bucket, path) != absent {
		t = yes
	}
	for _, st := range w.unsavedAt(mount, path) {
		if !st.conflict(held(w.bucket, path)) && !st.replaced && !st.loose && !st.maybeSaved {
			t = yes
		} else if t == no {
			t = maybe
		}
	}
	if w.forgetful(mount, path) {
		return maybe
	}
	if d := w.hasDir(mount, parentOf(path)); t == yes && d != yes {
		return d
	}
	return t
}

func (w *simWorld) hasDir(mount int, path string) tri {
	if path == "" {
		return yes
	}
	if w.forgetful(mount, path) {
		return maybe
	}
	if len(under(w.bucket, path)) > 0 {
		return yes
	}
	for _, st := range w.states {
		if st.mount == mount && !st.orphan && strings.HasPrefix(st.key, path+"/") {
			return maybe // somebody else took the directory from under the open file
		}
	}
	return no
}

// call runs a system call and looks at the bucket again.
func (w *simWorld) call(mount int, do func() syscall.Errno) syscall.Errno {
	failures, rescued := w.counts()
	errno := do()
	w.results = append(w.results, errno)
	synctest.Wait()
	failures2, rescued2 := w.counts()
	w.after, w.fired, w.rescued = w.snapshot(), failures2 > failures, rescued2-rescued
	if errno != 0 && w.fired {
		mount = -1 // the kernel does not know what was applied all the same
	}
	for key := range w.after {
		if dir := parentOf(key); dir != "" && !strings.HasSuffix(key, "/") && len(under(w.bucket, dir)) == 0 {
			for i := range w.foreign {
				w.foreign[i][dir] = time.Now() // others had removed it from under an open file, whose save made it anew
			}
		}
		w.noteForeign(mount, key)
	}
	for key := range w.bucket {
		w.noteForeign(mount, key)
	}
	return errno
}

// counts are how many failures reached a file system, and how many files went to
// a recovery directory.
func (w *simWorld) counts() (failures, rescued int) {
	for _, m := range w.mounts {
		failures += m.failures()
		rescued += m.fs.Rescued()
	}
	return failures, rescued
}

// noteForeign remembers when mounts other than the one that acts saw a change.
func (w *simWorld) noteForeign(mount int, key string) {
	if held(w.bucket, key) == held(w.after, key) {
		return
	}
	for i := range w.foreign {
		if i != mount {
			w.foreign[i][key] = time.Now()
		}
	}
}

// step does one operation and says what was wrong with its outcome, "" if
// nothing.
func (w *simWorld) step(op simOp) string {
	w.steps++
	w.bucket, w.after, w.fired = w.snapshot(), nil, false
	w.noteReplaced()
	if w.actor = op.mount; op.do == "put" || op.do == "delete" {
		w.actor = -1
	}
	for _, m := range w.mounts {
		m.faulty.SetPlan(op.fault.plan())
	}
	before, _ := w.counts()
	problem := w.dispatch(op)
	for _, m := range w.mounts {
		m.faulty.SetPlan(s3test.Plan{})
	}
	if after, _ := w.counts(); after > before {
		for _, st := range w.states {
			st.badRead, st.badWrite = true, true
		}
	}
	return problem
}

// noteReplaced finds the open files whose versions somebody else has replaced in
// the last step, be it by the same content.
func (w *simWorld) noteReplaced() {
	versions := map[string]string{}
	for _, key := range w.mem.Keys() {
		info, _ := w.mem.Head(context.Background(), key)
		versions[key] = info.ETag
	}
	for _, st := range w.states {
		other := w.actor != st.mount && versions[st.key] != w.versions[st.key]
		st.replaced = st.replaced || other || st.conflict(held(w.bucket, st.key))
	}
	w.versions = versions
}

func (w *simWorld) dispatch(op simOp) string {
	switch op.do {
	case "open":
		return w.open(op)
	case "write", "read", "ftruncate", "fsync", "close":
		fd := w.slots[op.slot]
		if fd == nil {
			w.steps-- // there was nothing to do it with
			return ""
		}
		return map[string]func(simOp, *simFD) string{
			"write": w.write, "read": w.read, "ftruncate": w.ftruncate, "fsync": w.fsync, "close": w.close,
		}[op.do](op, fd)
	case "cat":
		return w.cat(op)
	case "copy":
		return w.copy(op)
	case "truncate":
		return w.truncate(op)
	case "touch":
		return w.touch(op)
	case "stat":
		return w.stat(op)
	case "list":
		return w.list(op)
	case "unlink":
		return w.unlink(op)
	case "rename":
		return w.rename(op)
	case "renamedir":
		return w.renameDir(op)
	case "mkdir":
		return w.mkdir(op)
	case "rmdir":
		return w.rmdir(op)
	case "sync":
		return w.sync(op)
	case "sleep":
		w.call(-1, func() syscall.Errno { time.Sleep(time.Duration(op.size) * 100 * time.Millisecond); return 0 })
		return w.frame(nil)
	case "dropcaches":
		w.mounts[op.mount].k.dropCaches()
		return ""
	case "put":
		w.mem.PutBytes(op.path, []byte(w.bytes(max(op.size, 1)))) // never the content of another version
		w.call(-1, func() syscall.Errno { return 0 })
		return ""
	case "delete":
		_ = w.mem.Delete(context.Background(), deletion(op.path)...)
		w.call(-1, func() syscall.Errno { return 0 })
		return ""
	}
	panic("unknown operation " + op.do)
}

// may lists what keys may hold after a step, beside what they held before.
type may map[string][]string

func (m may) hold(key string, contents ...string) may {
	m[key] = append(m[key], contents...)
	return m
}

// marker allows the marker of the directory that a name leaves.
func (m may) marker(path string) may {
	if dir := parentOf(path); dir != "" {
		m.hold(dir+"/", "")
	}
	return m
}

// published allows that what was written so far has been saved on the way.
func (w *simWorld) published(m may, mount int) may {
	for _, st := range w.states {
		if st.mount == mount && st.dirty && !st.orphan {
			m.hold(st.key, st.content)
		}
	}
	return m
}

// frame checks that only what may change has changed.
func (w *simWorld) frame(m may) string {
	keys := slices.Concat(slices.Collect(maps.Keys(w.bucket)), slices.Collect(maps.Keys(w.after)))
	for _, key := range keys {
		was, is := held(w.bucket, key), held(w.after, key)
		if is != was && !slices.Contains(m[key], is) {
			return fmt.Sprintf("%q held %s and now holds %s", key, brief(was), brief(is))
		}
	}
	return ""
}

// brief makes a content readable.
func brief(s string) string {
	if s == absent {
		return "nothing"
	}
	s = strings.ReplaceAll(s, "\x00", "_")
	if len(s) > 48 {
		return fmt.Sprintf("%s…%s(%d bytes)", s[:24], s[len(s)-12:], len(s))
	}
	return fmt.Sprintf("%q(%d bytes)", s, len(s))
}

func wrong(call string, errno syscall.Errno, why string, args ...any) string {
	result := "succeeded"
	if errno != 0 {
		result = fmt.Sprintf("failed with %d %s", int(errno), errno.Error())
	}
	return fmt.Sprintf("%s %s: %s", call, result, fmt.Sprintf(why, args...))
}

// name checks the errno of a call that needs (want yes) or does not want (no) a
// name to be there.
func (w *simWorld) expect(call string, errno syscall.Errno, is tri, want tri, code syscall.Errno) string {
	switch {
	case errno == 0 && is != maybe && is != want:
		return wrong(call, errno, "it should be %s", code)
	case errno == code && is != maybe && is == want && !w.fired:
		return wrong(call, errno, "there is no reason for that")
	case errno != 0 && errno != code && !w.fired:
		return wrong(call, errno, "nothing had failed")
	}
	return ""
}

// saveResult checks what a call that had to save the file has told.
func (w *simWorld) saveResult(call string, st *simState, errno syscall.Errno) string {
	was, is := held(w.bucket, st.key), held(w.after, st.key)
	conflict := st.conflict(was) && !st.maybeSaved && !st.loose
	if conflict && is == st.content && was != is {
		return wrong(call, errno, "%q held %s, which was silently overwritten", st.key, brief(was))
	}
	if errno == 0 {
		if is != st.content && !((st.maybeSaved || st.loose) && is == was) {
			return wrong(call, errno, "%q should hold %s and holds %s", st.key, brief(st.content), brief(is))
		}
		if conflict {
			return wrong(call, errno, "%q was changed to %s meanwhile", st.key, brief(was))
		}
		st.wasSaved()
		return ""
	}
	reason := w.fired || st.badWrite || st.maybeSaved || st.loose
	if conflict && !reason {
		want := syscall.ESTALE
		if st.mode == writeNew {
			want = syscall.EEXIST
		}
		if errno != want && len(st.bases) < 2 {
			return wrong(call, errno, "it should be %s", want)
		}
	}
	if !conflict && !reason && !st.replaced {
		return wrong(call, errno, "nothing had failed, and %q held %s", st.key, brief(was))
	}
	lost := w.lostRace(st, errno)
	if w.rescued > 1 || w.rescued == 0 && !lost && (errno == syscall.ESTALE || errno == syscall.EEXIST) && !st.loose {
		return wrong(call, errno, "%d files went to the recovery directory", w.rescued)
	}
	switch {
	case lost:
	case w.rescued == 1:
		w.die(st)
	case is == st.content:
		st.perhapsSaved()
	}
	return ""
}

// lostRace notes that an empty new file is not to be: nothing is put aside.
func (w *simWorld) lostRace(st *simState, errno syscall.Errno) bool {
	if w.rescued > 0 || st.content != "" || errno != syscall.EEXIST && errno != syscall.ESTALE {
		return false
	}
	st.dead, st.dirty = true, false
	delete(w.states, simKey{st.mount, st.id})
	return true
}

// die notes that the content of a file was put aside.
func (w *simWorld) die(st *simState) {
	w.saved = append(w.saved, simSaved{st.mount, st.key, st.alias, st.content, st.maybeSaved || st.loose})
	st.dead, st.dirty = true, false
	delete(w.states, simKey{st.mount, st.id})
	w.foreign[st.mount][st.key] = time.Now() // the kernel remembers the name a little longer
}

// notePublished records that a file was saved on the way.
func (w *simWorld) notePublished(st *simState, content string) {
	if !st.dirty || held(w.after, st.key) == held(w.bucket, st.key) || held(w.after, st.key) != content {
		return
	}
	if w.fired {
		st.loose = true
		return
	}
	st.mode, st.bases, st.maybeSaved = writeOver, []string{content}, true
}
