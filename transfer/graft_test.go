package transfer

import (
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
)

// grafted is a draft that is a copy of the object "src" up to its end.
func grafted(t *testing.T, e *Engine, src s3.Object, at ...int64) *Draft {
	t.Helper()
	d := newDraft(t, e, "copy", nil, true)
	from := int64(0)
	for _, end := range append(at, src.Size) {
		if ok, err := d.Graft(bg, src, from, end); !ok || err != nil {
			t.Fatalf("grafting %d to %d: %v, %v", from, end, ok, err)
		}
		from = end
	}
	return d
}

func TestGraftedDraftIsCopiedByTheServer(t *testing.T) {
	faulty, mem := bucket()
	e := newEngine(t, faulty, small.in(t.TempDir()))
	data := noise(3000, 1)
	src := mem.PutBytes("src", data).Object
	src.Size = 3000
	for _, at := range [][]int64{nil, {1000}, {10, 2990}} {
		d := grafted(t, e, src, at...)
		if got := content(t, d); string(got) != string(data) {
			t.Errorf("grafted at %v it reads otherwise from byte %d on", at, differAt(got, data))
		}
		faulty.Reset()
		commit(t, d, "copy", s3.PutOptions{})
		if calls := faulty.Calls(); calls[s3.OpCopyPart] == 0 || calls[s3.OpPart]+calls[s3.OpGet] > 0 {
			t.Errorf("grafted at %v it took %v", at, calls)
		}
		checkObject(t, mem, "copy", data)
	}
	edited := grafted(t, e, src)
	write(t, edited, []byte("edited"), 1500)
	write(t, edited, []byte("longer"), 3000)
	commit(t, edited, "copy", s3.PutOptions{})
	want := append(append([]byte(nil), data...), "longer"...)
	copy(want[1500:], "edited")
	checkObject(t, mem, "copy", want)
	checkObject(t, mem, "src", data)
}

func TestGraftRefusesWhatIsNoCopy(t *testing.T) {
	faulty, mem := bucket()
	e := newEngine(t, faulty, small.in(t.TempDir()))
	src := mem.PutBytes("src", noise(3000, 1)).Object
	src.Size = 3000
	other := src
	other.ETag = `"another"`
	written := newDraft(t, e, "copy", nil, true)
	write(t, written, []byte("x"), 0)
	empty := newDraft(t, e, "copy", nil, false)
	begun := grafted(t, e, src)
	if err := begun.Truncate(bg, 100); err != nil {
		t.Fatal(err)
	}
	changed := newDraft(t, e, "copy", nil, true)
	if _, err := changed.Graft(bg, src, 0, 100); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() (bool, error){
		"behind a gap":            func() (bool, error) { return empty.Graft(bg, src, 10, 20) },
		"over what was written":   func() (bool, error) { return written.Graft(bg, src, 0, 20) },
		"behind what was written": func() (bool, error) { return written.Graft(bg, src, 1, 20) },
		"of another version":      func() (bool, error) { return changed.Graft(bg, other, 100, 200) },
		"again":                   func() (bool, error) { return changed.Graft(bg, src, 0, 100) },
		"an edit":                 func() (bool, error) { return newDraft(t, e, "src", &src, false).Graft(bg, src, 0, 100) },
	} {
		if ok, err := try(); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if ok, err := begun.Graft(bg, src, 100, 200); !ok || err != nil {
		t.Errorf("going on after a cut: %v, %v", ok, err)
	}
}
