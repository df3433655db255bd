//go:build linux

package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// once makes one call of op go wrong.
func once(op string, do s3test.Action) s3test.Plan {
	return s3test.Plan{Rules: []s3test.Rule{{Op: op, Nth: 1, Fault: s3test.Fault{Do: do}}}}
}

func commitFails(t *testing.T, b *s3test.Faulty, d *Draft, key string, plan s3test.Plan) {
	t.Helper()
	b.SetPlan(plan)
	if _, err := d.Commit(bg, key, s3.PutOptions{IfNoneMatch: "*"}); !errors.Is(err, s3.ErrUnavailable) {
		t.Fatalf("committing %s: %v", key, err)
	}
	b.SetPlan(s3test.Plan{})
}

func TestCutAfterAFailedCommitTakesPartsOut(t *testing.T) {
	for _, fault := range []s3test.Fault{{Do: s3test.Fail}, {Do: s3test.Drop}, {Do: s3test.Fail, Kind: s3.ErrDenied}} {
		for i, size := range []int{98, 98, 96, 96, 82, 82, 10, 10} {
			again := i%2 == 0
			b, mem := bucket()
			e := newEngine(t, b, small.in(t.TempDir()))
			d := newDraft(t, e, "a", nil, true)
			want := noise(101, 1)
			write(t, d, want, 0)
			b.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpCompleteUpload, Nth: 1, Fault: fault}}})
			if _, err := d.Commit(bg, "a", s3.PutOptions{IfNoneMatch: "*"}); err == nil {
				t.Fatal("no error")
			}
			if err := d.Truncate(bg, int64(size)); err != nil {
				t.Fatal(err)
			}
			if again { // as it is, before more is written
				commit(t, d, "a", s3.PutOptions{IfNoneMatch: "*"})
				checkObject(t, mem, "a", want[:size])
			}
			write(t, d, []byte("x"), int64(size)+1) // between is a hole, not what was cut off
			o := s3.PutOptions{IfNoneMatch: "*"}
			if again {
				o = s3.PutOptions{IfMatch: d.Base().ETag}
			}
			commit(t, d, "a", o)
			checkObject(t, mem, "a", append(want[:size:size], 0, 'x'))
		}
	}
}

func TestNothingLeavesIntoAnUploadThatMayBeComplete(t *testing.T) {
	for _, do := range []s3test.Action{s3test.Fail, s3test.Drop} {
		b, mem := bucket()
		e := newEngine(t, b, small.in(t.TempDir()))
		d := newDraft(t, e, "a", nil, true)
		want := noise(600, 1)
		write(t, d, want[:100], 0)
		commitFails(t, b, d, "a", once(s3.OpCompleteUpload, do))
		b.Reset()
		for off := 100; off < len(want); off += 50 {
			write(t, d, want[off:off+50], int64(off))
			d.wg.Wait()
		}
		if n := b.Calls()[s3.OpPart]; n > 0 {
			t.Errorf("%v: %d parts left", do, n)
		}
		commit(t, d, "a", s3.PutOptions{IfNoneMatch: "*"})
		checkObject(t, mem, "a", want)
	}
}

func TestUnansweredPutIsNotTakenForTheUploadAfterIt(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	d := newDraft(t, e, "a", nil, true)
	want := noise(300, 1)
	write(t, d, want[:10], 0)
	commitFails(t, b, d, "a", once(s3.OpPut, s3test.Drop))
	write(t, d, want[10:], 10)
	if _, _, ok := d.Begun(); !ok {
		t.Fatal("nothing has left")
	}
	commit(t, d, "a", s3.PutOptions{IfNoneMatch: "*"})
	checkObject(t, mem, "a", want)
}

func TestDirtyBytesAreNeverShed(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	d := newDraft(t, e, "a", nil, false)
	write(t, d, []byte("clean"), 0)
	commit(t, d, "a", s3.PutOptions{})
	write(t, d, []byte("dirty"), 3)
	e.shed(e.pool.limit)
	if got := content(t, d); string(got) != "cledirty" {
		t.Errorf("content is %q", got)
	}
	commit(t, d, "a", s3.PutOptions{})
	e.shed(e.pool.limit)
	if n := e.Stats().MemoryUsed; n != 0 {
		t.Errorf("%d bytes of a clean draft are kept though memory is short", n)
	}
	if got := content(t, d); string(got) != "cledirty" {
		t.Errorf("content is %q after it was given up here", got)
	}
	checkObject(t, mem, "a", []byte("cledirty"))
}

func TestRenamedUploadSparesWhatIsAtItsOldName(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	d := newDraft(t, e, "a", nil, true)
	write(t, d, noise(300, 1), 0)
	mem.PutBytes("a", []byte("theirs"))
	if _, err := d.Commit(bg, "b", s3.PutOptions{}); !errors.Is(err, s3.ErrExists) {
		t.Errorf("completing over a new file of others: %v", err)
	}
	checkObject(t, mem, "a", []byte("theirs"))
}

// deaf is a server that does not know If-Match and, if shift is set, answers
// with other bytes than it was asked for.
type deaf struct {
	s3.Bucket
	shift int64
}

func (d deaf) Get(ctx context.Context, key string, o s3.GetOptions) (*s3.Body, error) {
	o.IfMatch = ""
	o.Range.Offset += d.shift
	return d.Bucket.Get(ctx, key, o)
}

func TestAnswersAreNotTrusted(t *testing.T) {
	_, mem := bucket()
	info := mem.PutBytes("a", noise(8<<20, 1))
	for _, tt := range []struct {
		shift  int64
		change bool
		want   error
	}{{0, true, s3.ErrChanged}, {4096, false, s3.ErrCorrupt}} {
		e := newEngine(t, deaf{mem, tt.shift}, Config{})
		r := e.NewReader(info.Object)
		if tt.change {
			mem.PutBytes("a", noise(8<<20, 2))
		}
		for _, off := range []int64{0, 5 << 20} {
			if _, err := r.ReadAt(bg, make([]byte, 4096), off); !errors.Is(err, tt.want) {
				t.Errorf("reading at %d: %v, want %v", off, err, tt.want)
			}
		}
		r.Close()
		info = mem.PutBytes("a", noise(8<<20, 1))
	}
}

func TestBaseWithoutETagIsNotCopied(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	want := noise(500, 1)
	info := mem.PutBytes("a", want)
	info.ETag = ""
	d := newDraft(t, e, "a", &info.Object, false)
	write(t, d, []byte("edit"), 100)
	copy(want[100:], "edit")
	commit(t, d, "a", s3.PutOptions{})
	checkObject(t, mem, "a", want)
	if n := b.Calls()[s3.OpCopyPart]; n != 0 {
		t.Errorf("%d copies of a version that is not known", n)
	}
}

func TestFailedPartIsToldAndSentAgain(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, small.in(t.TempDir()))
	d := newDraft(t, e, "a", nil, true)
	b.SetPlan(once(s3.OpPart, s3test.Fail))
	want := noise(160, 1)
	told := 0
	for off := 0; off < len(want); off += 8 {
		err := d.WriteAt(bg, want[off:off+8], int64(off))
		if errors.Is(err, s3.ErrUnavailable) {
			told++
			err = d.WriteAt(bg, want[off:off+8], int64(off))
		}
		if err != nil {
			t.Fatal(err)
		}
		for flying := true; flying; { // let the part land
			d.mu.Lock()
			s := d.stream
			flying = s != nil && s.flying > 0
			var landed chan struct{}
			if flying {
				landed = s.landed
			}
			d.mu.Unlock()
			if flying {
				<-landed
			}
		}
	}
	if told != 1 {
		t.Errorf("the failure was told %d times", told)
	}
	if !d.stream.away.covers(16, 144) {
		t.Errorf("only %v have left", d.stream.away)
	}
	commit(t, d, "a", s3.PutOptions{})
	checkObject(t, mem, "a", want)
}

func TestWritersTakeTheMemoryOfIdleReaders(t *testing.T) {
	b, mem := bucket()
	info := mem.PutBytes("a", noise(1<<20, 1))
	e := newEngine(t, b, Config{Memory: minMemory, StageDir: "/does/not/exist"})
	for range 6 {
		mustOpen(t, e, "a", info.Object) // and does not read
	}
	d := newDraft(t, e, "b", nil, false)
	want := noise(4<<20, 2)
	write(t, d, want, 0)
	commit(t, d, "b", s3.PutOptions{})
	checkObject(t, mem, "b", want)
}

// starve takes all memory that drafts could have.
func starve(t *testing.T, e *Engine) {
	t.Helper()
	for n := maxBuffer; n >= minBuffer; n /= 2 {
		for b := e.pool.tryGet(writing, n, nil); b != nil; b = e.pool.tryGet(writing, n, nil) {
			t.Cleanup(b.release)
		}
	}
}

func TestDiskSpaceOfPartsThatLeftIsUsedAgain(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{Memory: minMemory, StageDir: tinyDisk(t, "5m"), PartSize: 1 << 20, Limits: Limits{MinPartSize: 1}})
	starve(t, e)
	d := newDraft(t, e, "a", nil, true)
	want := noise(12<<20, 1)
	for off := 0; off < len(want); off += 128 << 10 {
		write(t, d, want[off:off+128<<10], int64(off))
		if err := d.quiet(bg); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, d, "a", s3.PutOptions{})
	checkObject(t, mem, "a", want)
}

func TestWriteThatDoesNotFitChangesNothing(t *testing.T) {
	b, _ := bucket()
	e := newEngine(t, b, Config{Memory: minMemory, StageDir: tinyDisk(t, "1m")})
	starve(t, e)
	d := newDraft(t, e, "a", nil, false)
	want := noise(800<<10, 1)
	write(t, d, want, 0)
	if err := d.WriteAt(bg, noise(600<<10, 2), 600<<10); !errors.Is(err, ErrFull) {
		t.Fatalf("writing more than fits: %v", err)
	}
	if got := content(t, d); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, the first that differs is %d", len(got), differAt(got, want))
	}
}

// gated lets a part pass for each value of gate.
type gated struct {
	s3.Bucket
	gate chan struct{}
}

type gatedUpload struct {
	s3.Upload
	gate chan struct{}
}

func (g gated) NewUpload(ctx context.Context, key string, o s3.PutOptions) (s3.Upload, error) {
	u, err := g.Bucket.NewUpload(ctx, key, o)
	return gatedUpload{u, g.gate}, err
}

func (u gatedUpload) Part(ctx context.Context, n int, body io.ReadSeeker) (s3.Part, error) {
	<-u.gate
	return u.Upload.Part(ctx, n, body)
}

func TestPartThatIsWrittenToStaysUntilItWas(t *testing.T) {
	_, mem := bucket()
	cfg := small.in(t.TempDir())
	cfg.Parallel = 1
	gate := make(chan struct{})
	e := newEngine(t, gated{mem, gate}, cfg)
	d := newDraft(t, e, "a", nil, true)
	want := noise(90, 1)
	write(t, d, want, 0) // part 2 is at the gate, 3 to 5 wait for their turn
	d.mu.Lock()
	landed := d.stream.landed
	d.mu.Unlock()
	gate <- struct{}{}
	<-landed
	write(t, d, []byte("new"), 40)
	copy(want[40:], "new")
	d.mu.Lock()
	if d.left(32, 48) || !d.left(48, 64) {
		t.Errorf("on their way are %v", d.stream.sending)
	}
	d.mu.Unlock()
	close(gate)
	commit(t, d, "a", s3.PutOptions{})
	checkObject(t, mem, "a", want)
}

// asked remembers the last range.
type asked struct {
	s3.Bucket
	last *s3.GetOptions
}

func (a asked) Get(ctx context.Context, key string, o s3.GetOptions) (*s3.Body, error) {
	*a.last = o
	return a.Bucket.Get(ctx, key, o)
}

func TestOpenAsksForTheBeginningOnly(t *testing.T) {
	_, mem := bucket()
	info := mem.PutBytes("a", noise(4<<20, 1))
	for _, tt := range []struct {
		hint s3.Object
		want int64
	}{{s3.Object{}, firstRange}, {info.Object, firstRange}, {s3.Object{ETag: `"old"`, Size: 100}, 0}, {s3.Object{ETag: `"old"`}, 0}} {
		var o s3.GetOptions
		r := mustOpen(t, newEngine(t, asked{mem, &o}, Config{}), "a", tt.hint)
		r.Close()
		if want := (s3.Range{Length: tt.want}); o.Range != want {
			t.Errorf("hint of %d bytes, ETag %s: asked for %v, want %v", tt.hint.Size, tt.hint.ETag, o.Range, want)
		}
	}
}
