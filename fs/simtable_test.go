package fs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/transfer"
)

var updateTable = flag.Bool("update", false, "write testdata/errors.golden anew")

// The error table: which system call fails with which errno when all calls of
// one kind fail in one way, every attempt of them. It is checked in, so that a
// change of what programs see is seen.

// tableRun is one program's work, which stops at its first error.
type tableRun struct {
	k     *simKernel
	steps []string // "call" or "call: ERRNO"
}

// did notes the outcome of a system call and says whether to go on.
func (r *tableRun) did(call string, errno syscall.Errno) bool {
	if errno != 0 {
		r.steps = append(r.steps, call+": "+unix.ErrnoName(errno))
	}
	return errno == 0
}

// write writes a file and closes it, as cp does.
func (r *tableRun) write(path string, flags uint32, data string, off int, more ...func(*simFile) bool) {
	f, errno := r.k.open(path, flags)
	if !r.did("open", errno) {
		return
	}
	ok := r.did("write", f.write(data, off))
	for _, call := range more {
		ok = ok && call(f)
	}
	r.did("close", f.close())
}

// tableWork are the programs, by the name of their rows. Together they make
// every kind of call that the file system makes.
var tableWork = []struct {
	name string
	do   func(*tableRun)
}{
	{"stat", func(r *tableRun) { _, errno := r.k.stat("d/in"); r.did("stat", errno) }},
	{"stat among many", func(r *tableRun) { _, errno := r.k.stat("many/n3"); r.did("stat", errno) }},
	{"ls", func(r *tableRun) { _, errno := r.k.list("many"); r.did("readdir", errno) }},
	{"cat", func(r *tableRun) {
		f, errno := r.k.open("old", syscall.O_RDONLY)
		if !r.did("open", errno) {
			return
		}
		got, errno := f.read(0, 1000)
		if r.did("read", errno) && got != oldContent {
			r.steps = append(r.steps, "read: WRONG "+brief(got))
		}
		r.did("close", f.close())
	}},
	{"cp small", func(r *tableRun) {
		r.write("small", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, "small file", 0)
	}},
	{"cp large", func(r *tableRun) {
		r.write("large", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, strings.Repeat("large", 100), 0)
	}},
	{"cp -n", func(r *tableRun) {
		r.write("excl", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, "only one", 0)
	}},
	{"edit", func(r *tableRun) { r.write("old", syscall.O_RDWR, "EDIT", 100) }},
	{"append, fsync", func(r *tableRun) {
		r.write("old", syscall.O_WRONLY|syscall.O_APPEND, "more", 0, func(f *simFile) bool { return r.did("fsync", f.fsync()) })
	}},
	{"go back", func(r *tableRun) {
		r.write("back", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, between, 0, func(f *simFile) bool {
			synced := r.did("fsync", f.fsync())
			return synced && r.did("write", f.write("again", 200))
		})
	}},
	{"truncate", func(r *tableRun) { _, errno := r.k.truncate("old", 10); r.did("truncate", errno) }},
	{"touch, fsync", func(r *tableRun) {
		if !r.did("utimes", r.k.utimes("old", 1e9)) {
			return
		}
		f, errno := r.k.open("old", syscall.O_RDONLY)
		if r.did("open", errno) {
			r.did("fsync", f.fsync())
			r.did("close", f.close())
		}
	}},
	{"mv", func(r *tableRun) { _, _, errno := r.k.rename("d/in", "in"); r.did("rename", errno) }},
	{"mv directory", func(r *tableRun) { _, _, errno := r.k.rename("d", "moved"); r.did("rename", errno) }},
	{"rm", func(r *tableRun) { _, errno := r.k.unlink("only/one"); r.did("unlink", errno) }},
	{"rm open", func(r *tableRun) {
		f, errno := r.k.open("old", syscall.O_RDWR)
		if !r.did("open", errno) {
			return
		}
		_, errno = r.k.unlink("old")
		r.did("unlink", errno)
		r.did("close", f.close())
	}},
	{"mkdir", func(r *tableRun) { r.did("mkdir", r.k.mkdir("m")) }},
	{"rmdir", func(r *tableRun) { r.did("rmdir", r.k.rmdir("empty")) }},
}

// between is what "go back" has written before it goes back: it may be saved then.
var between = strings.Repeat("back", 100)

var oldContent = strings.Repeat("old.", 50)

func tableBucket() *s3test.Mem {
	mem := crashBucket()
	for i := range 9 {
		mem.PutBytes(fmt.Sprintf("many/n%d", i), []byte("n"))
	}
	mem.PutBytes("only/one", []byte("one"))
	return mem
}

// aboutObject are kinds that say how an object is, which a plan can only lie
// about: a call may rightly go on after such an answer.
var aboutObject = []error{s3.ErrNotFound, s3.ErrExists, s3.ErrChanged}

// tableFaults are the ways to fail, by the name of their column.
var tableFaults = []struct {
	name  string
	fault s3test.Fault
}{
	{"no answer", s3test.Fault{Do: s3test.Fail}},
	{"answer lost", s3test.Fault{Do: s3test.Drop}},
	{"throttled", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrThrottled}},
	{"denied", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrDenied}},
	{"key revoked", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrCredentials}},
	{"not found", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrNotFound}},
	{"no bucket", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrNoBucket}},
	{"no upload", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrNoUpload}},
	{"changed", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrChanged}},
	{"exists", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrExists}},
	{"invalid", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrInvalid}},
	{"too large", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrTooLarge}},
	{"quota", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrQuota}},
	{"archived", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrArchived}},
	{"unsupported", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrUnsupported}},
	{"damaged", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrCorrupt}},
	{"canceled", s3test.Fault{Do: s3test.Fail, Kind: s3.ErrCanceled}},
	{"body cut", s3test.Fault{Do: s3test.Cut, After: 3}},
	{"body short", s3test.Fault{Do: s3test.Truncate, After: 3}},
}

func tableMount(t *testing.T, mem *s3test.Mem, dir string) *simMount {
	t.Helper()
	return newSimMount(t, mem, dir, simConfig{
		Config: Config{TTL: time.Hour, NegativeTTL: time.Hour}, attempts: 3,
	})
}

// TestEveryFailureIsTheErrnoOfTheTable also checks that nothing succeeds which
// did not, that what was not saved is kept, and that the mount works again when
// the failures stop.
func TestEveryFailureIsTheErrnoOfTheTable(t *testing.T) {
	synctest.Test(t, testTable)
}

func testTable(t *testing.T) {
	dir := privateDir(t)
	var rows []string
	covered := map[string]bool{}
	for _, work := range tableWork {
		clean, want := tableClean(t, dir, work.do)
		for _, op := range clean {
			covered[op] = true
			for _, f := range tableFaults {
				if f.fault.Do == s3test.Cut && op != s3.OpGet && op != s3.OpPut && op != s3.OpPart || f.fault.Do == s3test.Truncate && op != s3.OpGet {
					continue
				}
				row := fmt.Sprintf("%-14s %-24s %-12s", work.name, op, f.name)
				rows = append(rows, strings.TrimSpace(row+" "+tableCell(t, row, dir, work.do, op, f.fault, want)))
			}
		}
	}
	for _, op := range listedOps(t) {
		if !covered[op] {
			t.Errorf("no row of the table makes a call of %s", op)
		}
	}
	golden := filepath.Join("testdata", "errors.golden")
	got := strings.Join(rows, "\n") + "\n"
	if *updateTable {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the table is another one (go test ./fs -run %s -update):\n%s", t.Name(), diff)
	}
	t.Logf("%d cells", len(rows))
}

// tableClean does the work without failures: which kinds of call it makes, and
// what the bucket then holds.
func tableClean(t *testing.T, dir string, do func(*tableRun)) (ops []string, want map[string]string) {
	t.Helper()
	mem := tableBucket()
	m := tableMount(t, mem, filepath.Join(dir, "clean"))
	r := &tableRun{k: m.k}
	do(r)
	if len(r.steps) > 0 {
		t.Fatalf("without failures: %v", r.steps)
	}
	for op := range m.faulty.Calls() {
		ops = append(ops, op)
	}
	slices.Sort(ops)
	if slices.Contains(ops, s3.OpNewUpload) {
		ops = append(ops, s3.OpAbortUpload) // made when something else has failed
	}
	if err := m.end(); err != nil {
		t.Fatal(err)
	}
	return ops, contents(mem)
}

// tableCell does the work while all calls of op fail, and returns what the
// program saw.
func tableCell(t *testing.T, row, dir string, do func(*tableRun), op string, fault s3test.Fault, want map[string]string) string {
	t.Helper()
	mem := tableBucket()
	before := contents(mem)
	m := tableMount(t, mem, filepath.Join(dir, strconv.Itoa(len(before))))
	rules := []s3test.Rule{{Op: op, Fault: fault}}
	if op == s3.OpAbortUpload {
		rules = append(rules, s3test.Rule{Op: s3.OpCompleteUpload, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrDenied}})
	}
	m.faulty.SetPlan(s3test.Plan{Rules: rules})
	r := &tableRun{k: m.k}
	do(r)
	synctest.Wait()
	m.faulty.SetPlan(s3test.Plan{})
	after := contents(mem)
	if len(r.steps) == 0 && !cmp.Equal(after, want) && !slices.Contains(aboutObject, fault.Kind) {
		t.Errorf("%s: everything succeeded, and the bucket is not as it should be: %s", row, cmp.Diff(want, after))
	}
	checkKept(t, row, m, r.steps, before, after, want)
	again := &tableRun{k: m.k}
	again.write("again", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, "the mount works again", 0)
	if got, _ := mem.Bytes("again"); len(again.steps) > 0 || string(got) != "the mount works again" {
		t.Errorf("%s: the mount does not work again: %v", row, again.steps)
	}
	if err := m.end(); err != nil {
		t.Errorf("%s: %v", row, err)
	}
	if err := os.RemoveAll(filepath.Dir(m.recovery)); err != nil {
		t.Error(err)
	}
	return strings.Join(r.steps, ", ")
}

// checkKept checks that every key holds its old or its new content, and that what
// a close could not save can be uploaded from the recovery directory.
func checkKept(t *testing.T, row string, m *simMount, steps []string, before, after, want map[string]string) {
	t.Helper()
	for key, is := range after {
		if is != held(before, key) && is != held(want, key) && !moved(before, key, is) && is != between {
			t.Errorf("%s: %q holds %s", row, key, brief(is))
		}
	}
	files, err := filepath.Glob(filepath.Join(m.recovery, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	closed := slices.ContainsFunc(steps, func(s string) bool { return strings.HasPrefix(s, "close") })
	for key, content := range want {
		if held(after, key) == content || !closed || content == held(before, key) {
			continue
		}
		if len(files) == 0 {
			t.Errorf("%s: %q is neither saved nor kept", row, key)
		}
	}
	for _, name := range files {
		s, err := transfer.LoadSaved(name)
		if err != nil {
			t.Errorf("%s: %v", row, err)
			continue
		}
		d, err := m.xfer.Restore(s)
		if err != nil {
			t.Errorf("%s: restoring: %v", row, err)
			continue
		}
		_, err = d.Commit(context.Background(), s.Key, s3.PutOptions{})
		if err != nil && (len(files) == 1 || !errors.Is(err, s3.ErrChanged)) { // the second of a call that was tried twice
			t.Errorf("%s: uploading what was kept: %v", row, err)
		} else if got := held(contents(m.faulty.Unwrap().(*s3test.Mem)), s.Key); got != held(want, s.Key) && got != between {
			t.Errorf("%s: what was kept of %q is %s", row, s.Key, brief(got))
		}
		if err := d.Discard(context.Background()); err != nil {
			t.Errorf("%s: %v", row, err)
		}
	}
}

// moved reports whether a content was that of another key, as in the middle of
// a rename.
func moved(before map[string]string, key, content string) bool {
	for other, c := range before {
		if other != key && c == content {
			return true
		}
	}
	return false
}

// listedOps are all kinds of call on objects that package s3 knows, from its
// source: a new one has no row.
func listedOps(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "s3", "ops.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Those that no file system makes: they are the commands'.
	others := []string{
		s3.OpListUploads, s3.OpListParts, s3.OpGetCORS, s3.OpPutCORS, s3.OpDeleteCORS, s3.OpGetTags, s3.OpPutTags,
		s3.OpGetVersioning, s3.OpPutVersioning, s3.OpListVersions, s3.OpGetPolicy,
	}
	var ops []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, v := range spec.Values {
			if lit, ok := v.(*ast.BasicLit); ok {
				op, err := strconv.Unquote(lit.Value)
				if err == nil && !slices.Contains(others, op) {
					ops = append(ops, op)
				}
			}
		}
		return true
	})
	return ops
}
