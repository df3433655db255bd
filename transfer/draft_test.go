package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

var bg = context.Background()

// small makes parts so small that a few bytes are a large object.
var small = Config{
	Memory:   minMemory,
	PartSize: 16,
	Limits:   Limits{MinPartSize: 8, MaxPartSize: 64, MaxParts: 300, MaxObject: 1 << 20},
}

func (c Config) in(dir string) Config {
	c.StageDir = dir
	return c
}

func newDraft(t testing.TB, e *Engine, key string, base *s3.Object, sequential bool) *Draft {
	t.Helper()
	d := e.NewDraft(key, base, DraftOptions{Sequential: sequential})
	t.Cleanup(func() {
		if err := d.Discard(bg); err != nil {
			t.Error(err)
		}
	})
	return d
}

func write(t testing.TB, d *Draft, p []byte, off int64) {
	t.Helper()
	if err := d.WriteAt(bg, p, off); err != nil {
		t.Fatalf("writing %d bytes at %d: %v", len(p), off, err)
	}
}

func commit(t testing.TB, d *Draft, key string, o s3.PutOptions) s3.Info {
	t.Helper()
	info, err := d.Commit(bg, key, o)
	if err != nil {
		t.Fatalf("committing %s: %v", key, err)
	}
	if d.Dirty() {
		t.Fatalf("%s is dirty after Commit", key)
	}
	return info
}

func content(t testing.TB, d *Draft) []byte {
	t.Helper()
	p := make([]byte, d.Size()+1)
	n, err := d.ReadAt(bg, p, 0)
	if err != io.EOF {
		t.Fatalf("reading a draft: %d bytes, %v", n, err)
	}
	return p[:n]
}

func checkObject(t testing.TB, mem *s3test.Mem, key string, want []byte) {
	t.Helper()
	got, ok := mem.Bytes(key)
	if !ok || !bytes.Equal(got, want) {
		t.Fatalf("%s: exists %v, %d bytes; want %d, first difference at %d", key, ok, len(got), len(want), differAt(got, want))
	}
}

func differAt(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestSmallFileIsOnePut(t *testing.T) {
	for _, sequential := range []bool{true, false} {
		b, mem := bucket()
		e := newEngine(t, b, Config{})
		d := newDraft(t, e, "a", nil, sequential)
		write(t, d, []byte("hello"), 0)
		commit(t, d, "a", s3.PutOptions{Attributes: s3.Attributes{ContentType: "text/plain"}})
		checkObject(t, mem, "a", []byte("hello"))
		if log := b.Log(); len(log) != 1 || log[0].Op != s3.OpPut {
			t.Errorf("sequential %v: requests %v", sequential, log)
		}
		if info, err := mem.Head(bg, "a"); err != nil || info.ContentType != "text/plain" {
			t.Errorf("attributes %v, %v", info, err)
		}
	}
}

func TestEmptyDraftMakesAnEmptyObject(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	d := newDraft(t, e, "a", nil, true)
	if !d.Dirty() {
		t.Error("a new file is clean")
	}
	commit(t, d, "a", s3.PutOptions{})
	checkObject(t, mem, "a", nil)
	if err := d.Truncate(bg, 0); err != nil || d.Dirty() {
		t.Errorf("emptying an empty file: dirty %v, %v", d.Dirty(), err)
	}
}

func TestLargeFileLeavesWhileItIsWritten(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{Memory: 16 << 20, PartSize: 1 << 20, Limits: Limits{MinPartSize: 1}})
	want := noise(30<<20+5, 1)
	d := newDraft(t, e, "a", nil, true)
	for off := 0; off < len(want); off += 128 << 10 {
		write(t, d, want[off:min(off+128<<10, len(want))], int64(off))
	}
	if n := b.Calls()[s3.OpPart]; n < 15 {
		t.Errorf("%d parts have left before Commit", n)
	}
	if n := e.Stats().Staged; n != 0 {
		t.Errorf("%d bytes went to disk", n)
	}
	commit(t, d, "a", s3.PutOptions{})
	checkObject(t, mem, "a", want)
	if n := len(mem.Uploads()); n != 0 {
		t.Errorf("%d uploads are left", n)
	}
	if n := b.Calls()[s3.OpPart]; n != 31 {
		t.Errorf("%d parts were sent, want 31", n)
	}
}

func TestHeaderWrittenLastResendsNothing(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	want := noise(200, 1)
	d := newDraft(t, e, "a", nil, true)
	for off := 0; off < len(want); off += 10 {
		write(t, d, want[off:off+10], int64(off))
	}
	copy(want, "header")
	write(t, d, []byte("header"), 0)
	commit(t, d, "a", s3.PutOptions{})
	checkObject(t, mem, "a", want)
	if n := b.Calls()[s3.OpPart]; n != 13 {
		t.Errorf("%d parts were sent, want 13", n)
	}
}

func TestOverwriteOfSentBytesPublishesFirst(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	want := noise(200, 1)
	d := newDraft(t, e, "other", nil, true)
	o := s3.PutOptions{IfNoneMatch: "*", Attributes: s3.Attributes{ContentType: "a/b"}}
	d.SetPublish(func() (string, s3.PutOptions) { return "a", o })
	write(t, d, want, 0)
	if err := d.quiet(bg); err != nil {
		t.Fatal(err)
	}
	write(t, d, want[180:], 180) // lets go of what waits for its turn
	write(t, d, []byte("middle"), 100)
	checkObject(t, mem, "a", want)
	copy(want[100:], "middle")
	if got := content(t, d); !bytes.Equal(got, want) {
		t.Error("reading back: wrong bytes")
	}
	commit(t, d, "a", o) // the draft knows that "*" does not hold any more
	checkObject(t, mem, "a", want)
}

func TestAttributesOfTheCommitWin(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	want := noise(500, 1)
	d := newDraft(t, e, "a", nil, true)
	d.SetPublish(func() (string, s3.PutOptions) { return "a", s3.PutOptions{} })
	write(t, d, want, 0)
	if _, _, ok := d.Begun(); !ok {
		t.Fatal("nothing has begun")
	}
	commit(t, d, "a", s3.PutOptions{Attributes: s3.Attributes{Metadata: map[string]string{"mtime": "1"}}})
	checkObject(t, mem, "a", want)
	if info, err := mem.Head(bg, "a"); err != nil || info.Metadata["mtime"] != "1" {
		t.Errorf("attributes %v, %v", info, err)
	}
}

func TestFileRenamedWhileItIsSent(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	want := noise(500, 1)
	d := newDraft(t, e, "a", nil, true)
	write(t, d, want, 0)
	commit(t, d, "b", s3.PutOptions{IfNoneMatch: "*"})
	checkObject(t, mem, "b", want)
	if keys := mem.Keys(); len(keys) != 1 {
		t.Errorf("keys %v", keys)
	}
}

func TestEditInPlaceSendsLittle(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{Limits: Limits{MinPartSize: 1 << 20}})
	want := noise(24<<20, 1)
	info := mem.PutBytes("a", want)
	d := newDraft(t, e, "a", &info.Object, false)
	write(t, d, []byte("edit"), 12<<20)
	copy(want[12<<20:], "edit")
	write(t, d, []byte("more"), 24<<20)
	want = append(want, "more"...)
	commit(t, d, "a", s3.PutOptions{IfMatch: info.ETag})
	checkObject(t, mem, "a", want)
	if c := b.Calls(); c[s3.OpPart] != 2 || c[s3.OpCopyPart] != 2 || c[s3.OpGet] != 1 {
		t.Errorf("requests %v", c)
	}
}

func TestSmallEditNeverTouchesTheDisk(t *testing.T) {
	b, mem := bucket()
	info := mem.PutBytes("a", noise(1<<20, 1))
	e := newEngine(t, b, Config{StageDir: "/does/not/exist"})
	d := newDraft(t, e, "a", &info.Object, false)
	write(t, d, []byte("edit"), 1000)
	commit(t, d, "a", s3.PutOptions{IfMatch: info.ETag})
	write(t, d, []byte("again"), 2000)
	commit(t, d, "a", s3.PutOptions{})
	want := noise(1<<20, 1)
	copy(want[1000:], "edit")
	copy(want[2000:], "again")
	checkObject(t, mem, "a", want)
	if c := b.Calls(); c[s3.OpGet] != 1 || c[s3.OpPut] != 2 {
		t.Errorf("requests %v", c)
	}
}

func TestChangedBaseIsNeverMixed(t *testing.T) {
	for _, size := range []int{100, 10_000} {
		b, mem := bucket()
		e := newEngine(t, b, small.in(t.TempDir()))
		info := mem.PutBytes("a", noise(size, 1))
		d := newDraft(t, e, "a", &info.Object, false)
		write(t, d, []byte("edit"), 50)
		theirs := noise(size, 2)
		mem.PutBytes("a", theirs)
		for range 2 {
			if _, err := d.Commit(bg, "a", s3.PutOptions{IfMatch: info.ETag}); !errors.Is(err, s3.ErrChanged) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		checkObject(t, mem, "a", theirs)
		if !d.Dirty() || len(mem.Uploads()) > 0 {
			t.Errorf("dirty %v, uploads %v", d.Dirty(), mem.Uploads())
		}
	}
}

func TestLargestObjectIsALimit(t *testing.T) {
	b, _ := bucket()
	cfg := small.in(t.TempDir())
	cfg.Limits.MaxObject = 1000
	e := newEngine(t, b, cfg)
	for _, sequential := range []bool{true, false} {
		d := newDraft(t, e, "a", nil, sequential)
		if err := d.WriteAt(bg, make([]byte, 10), 991); !errors.Is(err, s3.ErrTooLarge) {
			t.Errorf("write beyond the limit: %v", err)
		}
		if err := d.Truncate(bg, 1001); !errors.Is(err, s3.ErrTooLarge) {
			t.Errorf("growing beyond the limit: %v", err)
		}
		write(t, d, make([]byte, 10), 990)
		commit(t, d, "a", s3.PutOptions{})
	}
}

func TestServerWithoutPartCopyGetsAllBytes(t *testing.T) {
	b, mem := bucket()
	b.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpCopyPart, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrUnsupported}}}})
	e := newEngine(t, b, small.in(t.TempDir()))
	want := noise(1000, 1)
	info := mem.PutBytes("a", want)
	d := newDraft(t, e, "a", &info.Object, false)
	write(t, d, []byte("edit"), 500)
	copy(want[500:], "edit")
	commit(t, d, "a", s3.PutOptions{})
	checkObject(t, mem, "a", want)
	if n := len(mem.Uploads()); n != 0 {
		t.Errorf("%d uploads are left", n)
	}
}

func TestManyDraftsShareLittleMemory(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{Memory: minMemory, PartSize: 256 << 10, Limits: Limits{MinPartSize: 1}})
	var g errgroup.Group
	for i := range 60 {
		g.Go(func() error {
			want := noise(4096<<(i%9), uint64(i))
			d := e.NewDraft(fmt.Sprint(i), nil, DraftOptions{Sequential: i%3 > 0})
			defer d.Discard(bg)
			for off := 0; off < len(want); off += 10_000 {
				if err := d.WriteAt(bg, want[off:min(off+10_000, len(want))], int64(off)); err != nil {
					return err
				}
			}
			if _, err := d.Commit(bg, fmt.Sprint(i), s3.PutOptions{}); err != nil {
				return err
			}
			if got, _ := mem.Bytes(fmt.Sprint(i)); !bytes.Equal(got, want) {
				return fmt.Errorf("draft %d: wrong bytes", i)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// draftModel drives a draft and a slice of bytes alike.
type draftModel struct {
	t      *rapid.T
	mem    *s3test.Mem
	b      *s3test.Faulty
	e      *Engine
	d      *Draft
	want   []byte
	etag   string // of the last version that was acknowledged
	faulty bool
}

func (m *draftModel) off() int64 {
	return rapid.Int64Range(0, int64(len(m.want))+40).Draw(m.t, "off")
}

func (m *draftModel) set(end int64) {
	if grow := end - int64(len(m.want)); grow > 0 {
		m.want = append(m.want, make([]byte, grow)...)
	}
}

// tolerates says whether an error may be: only when calls fail on purpose.
func (m *draftModel) tolerates(what string, err error) bool {
	if err != nil && !(m.faulty && errors.Is(err, s3.ErrUnavailable)) {
		m.t.Fatalf("%s: %v", what, err)
	}
	return err == nil
}

func (m *draftModel) step() {
	switch rapid.IntRange(0, 9).Draw(m.t, "op") {
	case 0, 1, 2:
		m.write(m.off())
	case 3, 4, 5:
		m.write(int64(len(m.want)))
	case 6:
		n := rapid.Int64Range(0, 100).Draw(m.t, "n")
		m.read(m.off(), n)
	case 7:
		size := m.off()
		if m.tolerates("truncate", m.d.Truncate(bg, size)) {
			m.set(size)
			m.want = m.want[:size]
		}
	case 8:
		m.read(0, int64(len(m.want))+1)
	case 9:
		m.commit()
	}
	if got := m.d.Size(); got != int64(len(m.want)) {
		m.t.Fatalf("size is %d, want %d", got, len(m.want))
	}
}

func (m *draftModel) write(off int64) {
	p := rapid.SliceOfN(rapid.Byte(), 1, 60).Draw(m.t, "p")
	if m.tolerates("write", m.d.WriteAt(bg, p, off)) {
		m.set(off + int64(len(p)))
		copy(m.want[off:], p)
	}
}

func (m *draftModel) read(off, n int64) {
	p := make([]byte, n)
	got, err := m.d.ReadAt(bg, p, off)
	if err == io.EOF {
		err = nil
	}
	if !m.tolerates("read", err) {
		return
	}
	want := m.want[min(off, int64(len(m.want))):min(off+n, int64(len(m.want)))]
	if !bytes.Equal(p[:got], want) {
		m.t.Fatalf("reading %d at %d: got %d bytes %v, want %v", n, off, got, p[:got], want)
	}
}

// options are the conditions that the file system asks for.
func (m *draftModel) options() s3.PutOptions {
	if m.etag == "" {
		return s3.PutOptions{IfNoneMatch: "*"}
	}
	return s3.PutOptions{IfMatch: m.etag}
}

func (m *draftModel) commit() {
	info, err := m.d.Commit(bg, "a", m.options())
	if !m.tolerates("commit", err) {
		return
	}
	m.etag = info.ETag
	got, ok := m.mem.Bytes("a")
	if !ok || !bytes.Equal(got, m.want) {
		m.t.Fatalf("after Commit the object exists %v, differs at %d (%d bytes, want %d)", ok, differAt(got, m.want), len(got), len(m.want))
	}
}

func checkDrafts(t *testing.T, faulty bool) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		b, mem := bucket()
		cfg := small.in(dir)
		e, err := New(b, nil, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		m := &draftModel{t: t, mem: mem, b: b, e: e, faulty: faulty}
		var base *s3.Object
		if rapid.Bool().Draw(t, "base") {
			m.want = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "content")
			info := mem.PutBytes("a", m.want)
			m.want = bytes.Clone(m.want)
			base = &info.Object
			m.etag = info.ETag
		}
		m.d = e.NewDraft("a", base, DraftOptions{Sequential: rapid.Bool().Draw(t, "sequential")})
		m.d.SetPublish(func() (string, s3.PutOptions) { return "a", m.options() })
		if faulty {
			b.SetPlan(s3test.Plan{Seed: rapid.Uint64().Draw(t, "seed"), Rules: []s3test.Rule{
				{P: 0.1, Fault: s3test.Fault{Do: s3test.Fail}},
				{P: 0.05, Fault: s3test.Fault{Do: s3test.Drop}},
				{P: 0.05, Fault: s3test.Fault{Do: s3test.Cut, After: 5}},
			}})
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			m.step()
		}
		b.SetPlan(s3test.Plan{})
		m.faulty = false
		m.d.quiet(bg)
		m.read(0, int64(len(m.want))+1)
		m.commit()
		if err := m.d.Discard(bg); err != nil {
			t.Fatal(err)
		}
		if len(mem.Uploads()) > 0 && !faulty {
			t.Fatalf("uploads are left: %v", mem.Uploads())
		}
		if s := e.Stats(); s.MemoryUsed != 0 || s.Staged != 0 || s.Drafts != 0 {
			t.Fatalf("left behind: %+v", s)
		}
	})
}

func TestDraftAgreesWithBytes(t *testing.T) { checkDrafts(t, false) }

func TestDraftAgreesWithBytesThoughCallsFail(t *testing.T) {
	for range 5 { // the combinations that matter are rare
		checkDrafts(t, true)
	}
}
