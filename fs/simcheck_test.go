package fs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/transfer"
)

var (
	simSeed      = flag.Uint64("sim.seed", 0, "run only the history of this seed")
	simSteps     = flag.Int("sim.steps", 200, "operations in a history")
	simHistories = flag.Int("sim.histories", 300, "histories of the model check")
)

// simOp is one operation of a history. It means something in every state, so
// that any part of a history can be left out.
type simOp struct {
	do          string
	mount, slot int
	path, to    string
	flags       uint32
	off, size   int
	fault       simFault
}

func (op simOp) String() string {
	s := fmt.Sprintf("m%d %s", op.mount, op.do)
	switch op.do {
	case "open":
		s += fmt.Sprintf(" slot %d %q flags %#x", op.slot, op.path, op.flags)
	case "write", "read":
		s = fmt.Sprintf("%s slot %d, %d bytes at %d", op.do, op.slot, op.size, op.off)
	case "ftruncate", "fsync", "close":
		s = fmt.Sprintf("%s slot %d (%d)", op.do, op.slot, op.size)
	case "rename", "renamedir":
		s += fmt.Sprintf(" %q to %q", op.path, op.to)
	case "sleep":
		s = fmt.Sprintf("sleep %d00ms", op.size)
	default:
		s += fmt.Sprintf(" %q %d", op.path, op.size)
	}
	if op.fault != (simFault{}) {
		s += "   FAULTS: " + op.fault.String()
	}
	return s
}

// simFault is what goes wrong during one operation.
type simFault struct {
	seed   uint64
	chance float64 // of each call, to fail in some way
	all    bool    // every call of op, or of all operations, fails in the way of how
	op     string
	how    int
}

// simWays are the ways in which a call fails in histories. Answers that lie
// without a trace are not among them: they are the client's to find.
var simWays = []s3test.Fault{
	{Do: s3test.Fail},
	{Do: s3test.Drop},
	{Do: s3test.Fail, Kind: s3.ErrThrottled},
	{Do: s3test.Fail, Kind: s3.ErrDenied},
	{Do: s3test.Cut, After: 5},
	{Do: s3test.Drop, Kind: s3.ErrThrottled},
}

// simCalls are the kinds of call that a whole operation may fail with.
var simCalls = []string{
	"", s3.OpHead, s3.OpGet, s3.OpList, s3.OpPut, s3.OpCopy, s3.OpDelete,
	s3.OpNewUpload, s3.OpPart, s3.OpCopyPart, s3.OpCompleteUpload, s3.OpAbortUpload, s3.OpListParts,
}

func (f simFault) String() string {
	if f.all {
		return fmt.Sprintf("every %s: %s %v", f.op, simWays[f.how].Do, simWays[f.how].Kind)
	}
	return fmt.Sprintf("each call with %.2f, seed %d", f.chance, f.seed)
}

func (f simFault) plan() s3test.Plan {
	p := s3test.Plan{Seed: f.seed}
	if f.all {
		p.Rules = []s3test.Rule{{Op: f.op, Fault: simWays[f.how]}}
		return p
	}
	if f.chance > 0 {
		for _, way := range simWays {
			p.Rules = append(p.Rules, s3test.Rule{P: f.chance / float64(len(simWays)), Fault: way})
		}
	}
	return p
}

// The names of a history. Directories are told from files by their letters.
var (
	simDirs  = []string{"d", "f", "d/e", "f/e"}
	simFiles = []string{"a", "b", "d/a", "d/b", "f/a", "d/e/a", "f/e/a"}
)

func simIsDir(path string) bool { return slices.Contains(simDirs, path) }

// simNames are the names of a history in a directory.
func simNames(dir string) []string {
	var out []string
	for _, path := range slices.Concat(simDirs, simFiles, []string{"f/b", "d/e/b", "f/e/b"}) {
		if parentOf(path) == dir {
			out = append(out, path)
		}
	}
	return out
}

// simWeights say how often which operation comes.
var simWeights = []struct {
	do     string
	weight int
}{
	{"open", 14},
	{"write", 24},
	{"read", 10},
	{"close", 10},
	{"fsync", 4},
	{"ftruncate", 4},
	{"cat", 6},
	{"copy", 3},
	{"truncate", 3},
	{"touch", 2},
	{"stat", 3},
	{"list", 4},
	{"unlink", 4},
	{"rename", 5},
	{"renamedir", 2},
	{"mkdir", 3},
	{"rmdir", 2},
	{"sync", 1},
	{"sleep", 3},
	{"dropcaches", 1},
	{"put", 3},
	{"delete", 2},
}

var simFlags = []uint32{
	syscall.O_RDONLY, syscall.O_RDWR, syscall.O_RDWR, syscall.O_RDWR | syscall.O_CREAT,
	syscall.O_WRONLY | syscall.O_CREAT | syscall.O_TRUNC, syscall.O_WRONLY | syscall.O_CREAT | syscall.O_TRUNC,
	syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL, syscall.O_WRONLY | syscall.O_CREAT | syscall.O_APPEND,
	syscall.O_RDWR | syscall.O_TRUNC, syscall.O_RDWR | syscall.O_CREAT | syscall.O_EXCL,
}

const simSlots = 4

// simHistory draws a history.
func simHistory(seed uint64, steps, mounts int) []simOp {
	r := rand.New(rand.NewPCG(seed, 1))
	total := 0
	for _, w := range simWeights {
		total += w.weight
	}
	var ops []simOp
	for range steps {
		op := simOp{slot: r.IntN(simSlots)}
		n := r.IntN(total)
		for _, w := range simWeights {
			if n -= w.weight; n < 0 {
				op.do = w.do
				break
			}
		}
		op.mount = r.IntN(mounts)
		op.flags = simFlags[r.IntN(len(simFlags))]
		op.path = simFiles[min(r.IntN(len(simFiles)), r.IntN(len(simFiles)))]
		op.to = simFiles[r.IntN(len(simFiles))]
		op.off, op.size = r.IntN(40), r.IntN(60)
		if r.IntN(3) == 0 {
			op.off, op.size = r.IntN(300), r.IntN(400)
		}
		switch op.do {
		case "mkdir", "rmdir":
			op.path = simDirs[r.IntN(len(simDirs))]
		case "list":
			op.path = append(simDirs, "")[r.IntN(len(simDirs)+1)]
		case "renamedir":
			pair := [][2]string{{"d", "f"}, {"f", "d"}, {"d/e", "f/e"}, {"f/e", "d/e"}, {"d", "d/e"}}[r.IntN(5)]
			op.path, op.to = pair[0], pair[1]
		}
		switch n := r.IntN(100); {
		case n < 40:
			op.fault = simFault{seed: r.Uint64(), chance: 0.08}
		case n < 48:
			op.fault = simFault{all: true, op: simCalls[r.IntN(len(simCalls))], how: r.IntN(len(simWays))}
		}
		ops = append(ops, op)
	}
	return ops
}

// simVariants are the kinds of mounts that histories run on.
var simVariants = []struct {
	mounts int
	cfg    Config
}{
	{1, Config{TTL: 5 * time.Second, NegativeTTL: 5 * time.Second}},
	{2, Config{}},
	{2, Config{TTL: 5 * time.Second, NegativeTTL: 2 * time.Second}},
	{1, Config{TTL: 5 * time.Second, NegativeTTL: 5 * time.Second, Posix: true, ExclusiveAtOpen: true}},
}

// simTotals count what histories did.
type simTotals struct{ steps, calls, faulted, failed, rescued, stopped int }

// runHistory runs operations on new mounts of a new bucket. It returns what
// went wrong, "" if nothing, and at which operation.
func runHistory(t *testing.T, ops []simOp, variant int, totals *simTotals, trace func(string, ...any)) (problem string) {
	t.Helper()
	dir := privateDir(t)
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) {
		v := simVariants[variant]
		w := &simWorld{
			mem: simBucket(), ttl: max(v.cfg.TTL, v.cfg.NegativeTTL), atOpen: v.cfg.ExclusiveAtOpen, slots: make([]*simFD, simSlots),
			states: map[simKey]*simState{},
		}
		for i := range v.mounts {
			m := newSimMount(t, w.mem, filepath.Join(dir, fmt.Sprint(i)), simConfig{Config: v.cfg, attempts: 3})
			m.keep = trace != nil
			w.mounts, w.foreign = append(w.mounts, m), append(w.foreign, map[string]time.Time{})
		}
		for i, op := range ops {
			if problem = w.step(op); trace != nil {
				trace("%3d %s%s", i, op, w.requests())
			}
			if problem != "" {
				problem = fmt.Sprintf("%s\n\tat operation %d, %s", problem, i, op)
				break
			}
			if w.stop {
				totals.stopped++
				break
			}
		}
		if problem == "" && !w.stop {
			problem = w.finale(t, dir, v.cfg)
			if trace != nil {
				trace("at the end%s", w.requests())
			}
		} else {
			w.abandon()
		}
		for _, m := range w.mounts {
			totals.calls, totals.faulted, totals.failed = totals.calls+m.tries, totals.faulted+m.bad, totals.failed+m.fired
			totals.rescued += m.fs.Rescued()
		}
		totals.steps += w.steps
	})
	return problem
}

// requests are those that the last step made, for a trace.
func (w *simWorld) requests() string {
	var b strings.Builder
	for _, errno := range w.results {
		fmt.Fprintf(&b, " -> %d", errno)
	}
	w.results = nil
	for i, m := range w.mounts {
		m.mu.Lock()
		for _, e := range m.seen {
			fmt.Fprintf(&b, "\n        m%d %s %q", i, e.Op, e.Key)
			if e.Err != nil {
				fmt.Fprintf(&b, " %v", e.Err)
			}
		}
		m.seen = nil
		m.mu.Unlock()
	}
	return b.String()
}

// abandon ends the mounts after a problem.
func (w *simWorld) abandon() {
	for _, fd := range w.slots {
		if fd != nil {
			fd.file.close()
		}
	}
	for _, m := range w.mounts {
		_ = m.end() // there is a problem already
	}
}

// finale closes and unmounts everything, without faults, and checks that
// nothing is left over and that a new mount shows what the bucket holds.
func (w *simWorld) finale(t *testing.T, dir string, cfg Config) string {
	problem := ""
	for i, fd := range w.slots {
		if fd != nil && problem == "" {
			problem = w.step(simOp{do: "close", slot: i})
		}
	}
	if problem != "" {
		w.abandon()
		return problem + "\n\tat the end"
	}
	time.Sleep(2 * attributeDelay)
	strays := 0
	for i, m := range w.mounts {
		if err := m.fs.Sync(context.Background()); err != nil {
			problem = fmt.Sprintf("sync at the end: %v", err)
		}
		if p := w.checkSaved(i); p != "" {
			problem = p
		}
		if err := m.end(); err != nil {
			problem = fmt.Sprintf("unmounting: %v", err)
		}
		strays += m.strays
	}
	if left := w.mem.Uploads(); len(left) > strays {
		problem = fmt.Sprintf("%d uploads are left and only %d are excused: %v", len(left), strays, left)
	}
	if n := w.mem.OpenBodies(); n > 0 {
		problem = fmt.Sprintf("%d answers are left open", n)
	}
	if problem != "" {
		return problem
	}
	fresh := newSimMount(t, w.mem, filepath.Join(dir, "fresh"), simConfig{Config: cfg, attempts: 1})
	problem = sameAsBucket(fresh, w.snapshot())
	if err := fresh.end(); err != nil && problem == "" {
		problem = fmt.Sprintf("unmounting again: %v", err)
	}
	return problem
}

// sameAsBucket compares all that a mount shows with what the bucket holds.
func sameAsBucket(m *simMount, bucket map[string]string) string {
	shown := map[string]string{}
	var walk func(dir string) string
	walk = func(dir string) string {
		names, errno := m.k.list(strings.TrimSuffix(dir, "/"))
		if errno != 0 {
			return wrong("readdir of "+dir, errno, "after a remount")
		}
		for name, kind := range names {
			if kind == syscall.S_IFDIR {
				if p := walk(dir + name + "/"); p != "" {
					return p
				}
				continue
			}
			f, errno := m.k.open(dir+name, syscall.O_RDONLY)
			if errno != 0 {
				return wrong("open of "+dir+name, errno, "after a remount")
			}
			content, errno := f.read(0, 1<<16)
			if errno := max(errno, f.close()); errno != 0 {
				return wrong("read of "+dir+name, errno, "after a remount")
			}
			shown[dir+name] = content
		}
		return ""
	}
	if p := walk(""); p != "" {
		return p
	}
	for key, content := range bucket {
		if strings.HasSuffix(key, "/") {
			continue
		}
		if got, ok := shown[key]; !ok || got != content {
			return fmt.Sprintf("after a remount %q reads as %s, not %s", key, brief(got), brief(content))
		}
		delete(shown, key)
	}
	for key := range shown {
		return fmt.Sprintf("after a remount %q is shown and is not there", key)
	}
	return ""
}

// checkSaved checks that the recovery directory of a mount holds exactly what
// closes could not save, and that it can be uploaded.
func (w *simWorld) checkSaved(mount int) string {
	m := w.mounts[mount]
	files, err := filepath.Glob(filepath.Join(m.recovery, "*.json"))
	if err != nil {
		return err.Error()
	}
	var want []simSaved
	for _, s := range w.saved {
		if s.mount == mount {
			want = append(want, s)
		}
	}
	if len(files) != len(want) {
		return fmt.Sprintf("%d files are in the recovery directory, not %d", len(files), len(want))
	}
	for _, name := range files {
		if p := w.uploadSaved(m, name, &want); p != "" {
			return fmt.Sprintf("recovery file %s: %s", filepath.Base(name), p)
		}
	}
	return ""
}

// uploadSaved uploads one recovery file under its key, compares, and puts back
// what was there.
func (w *simWorld) uploadSaved(m *simMount, name string, want *[]simSaved) string {
	ctx := context.Background()
	s, err := transfer.LoadSaved(name)
	if err != nil {
		return err.Error()
	}
	live := held(w.snapshot(), s.Key)
	d, err := m.xfer.Restore(s)
	if errors.Is(err, s3.ErrNoUpload) {
		// One that was completed, which the mount could not find out.
		if i := slices.IndexFunc(*want, func(x simSaved) bool { return x.key == s.Key && (x.applied || x.content == live) }); i >= 0 {
			*want = slices.Delete(*want, i, i+1)
			return ""
		}
	}
	if err != nil {
		return err.Error()
	}
	defer d.Discard(ctx)
	if s.Base == nil && live != absent {
		_ = w.mem.Delete(ctx, deletion(s.Key)...)
	}
	now, _ := w.mem.Head(ctx, s.Key)
	gone := s.Base != nil && now.ETag != s.Base.ETag // what only the version had is not to be had any more
	_, err = d.Commit(ctx, s.Key, s3.PutOptions{})
	got := held(w.snapshot(), s.Key)
	_ = w.mem.Delete(ctx, deletion(s.Key)...)
	if live != absent {
		w.mem.PutBytes(s.Key, []byte(live))
	}
	for i, x := range *want {
		if x.key != s.Key && x.alias != s.Key || len(x.content) != int(s.Size) {
			continue
		}
		if err == nil && got == x.content || err != nil && gone {
			*want = slices.Delete(*want, i, i+1)
			return ""
		}
	}
	return fmt.Sprintf("%q of %d bytes was uploaded as %s (error %v), and should be one of %v", s.Key, s.Size, brief(got), err, *want)
}

// shrink leaves operations out of a failing history as long as it fails.
func shrink(ops []simOp, fails func([]simOp) bool) []simOp {
	for size := len(ops) / 2; size > 0; {
		smaller := false
		for at := 0; at+size <= len(ops); {
			less := slices.Concat(ops[:at], ops[at+size:])
			if fails(less) {
				ops, smaller = less, true
				continue
			}
			at += size
		}
		if size == 1 && smaller {
			continue
		}
		size /= 2
	}
	for i := range ops {
		calm := slices.Clone(ops)
		calm[i].fault = simFault{}
		if ops[i].fault != (simFault{}) && fails(calm) {
			ops = calm
		}
	}
	return ops
}

// TestEveryPromiseHoldsUnderFaults runs random operations of several programs
// on one or two mounts, and of somebody else on the bucket, while calls fail. After
// each operation the mount and the bucket must be as the model allows.
func TestEveryPromiseHoldsUnderFaults(t *testing.T) {
	var totals simTotals
	began := time.Now()
	if *simSeed != 0 {
		runSeed(t, *simSeed, &totals)
		return
	}
	histories := *simHistories
	if testing.Short() {
		histories /= 10
	}
	soak, _ := time.ParseDuration(os.Getenv("CGS3FS_SOAK"))
	first := uint64(1)
	if soak > 0 {
		first = uint64(began.UnixNano())
	}
	for i := 0; i < histories || time.Since(began) < soak; i++ {
		if runSeed(t, first+uint64(i), &totals); t.Failed() {
			break
		}
	}
	t.Logf("%d steps in %v: %d calls of which %d failed, %d failures reached the file system, %d files kept for recovery, %d histories ended early",
		totals.steps, time.Since(began).Round(time.Millisecond), totals.calls, totals.faulted, totals.failed, totals.rescued, totals.stopped)
	if histories >= 300 && !t.Failed() && (totals.steps < 20_000 || totals.faulted*25 < totals.calls) {
		t.Error("too little was done, or failed, to prove anything")
	}
}

// kindOf is what a problem is about, without names and contents.
func kindOf(problem string) string {
	s := regexp.MustCompile(`"[^"]*"|<[^ ]*|[0-9]+`).ReplaceAllString(problem, "")
	return s[:min(len(s), 30)]
}

func runSeed(t *testing.T, seed uint64, totals *simTotals) {
	variant := int(seed % uint64(len(simVariants)))
	ops := simHistory(seed, *simSteps, simVariants[variant].mounts)
	var lines []string
	trace := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	problem := runHistory(t, ops, variant, totals, trace)
	if problem == "" {
		return
	}
	replay := fmt.Sprintf("%s\n\nreplay: go test ./fs -run '^TestEveryPromiseHoldsUnderFaults$' -sim.seed=%d -sim.steps=%d", problem, seed, *simSteps)
	seldom := lines[max(0, len(lines)-400):] // whose end tells most of a failure that does not come again
	var none simTotals
	ops = shrink(ops, func(ops []simOp) bool { return kindOf(runHistory(t, ops, variant, &none, nil)) == kindOf(problem) })
	lines = nil
	if again := runHistory(t, ops, variant, &none, trace); again != "" {
		t.Errorf("%s\nshrunk to %d operations (variant %d): %s\n%s", replay, len(ops), variant, again, strings.Join(lines, "\n"))
		return
	}
	t.Errorf("%s\nit does not come every time; this time (variant %d):\n%s", replay, variant, strings.Join(seldom, "\n"))
}
