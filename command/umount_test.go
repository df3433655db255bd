package command

import (
	"testing"

	"github.com/cgs3fs/cgs3fs/fs"
)

func TestWhatIsLeftIsNamed(t *testing.T) {
	silent, failed := "the server has not answered a request for 12s", "3s ago: PutObject \"a\": server asks to slow down (SlowDown, HTTP 503)"
	file := []fs.UnsavedFile{{Path: "/a", Size: 2048}}
	for _, row := range []struct {
		unsaved []fs.UnsavedFile
		trouble troubleReport
		want    string
	}{
		{nil, troubleReport{}, "modes, times or owners of some files"},
		{nil, troubleReport{Silent: silent}, "modes, times or owners of some files (" + silent + ")"},
		{file, troubleReport{}, "1 file, 2.0 KiB left: /a"},
		{file, troubleReport{Silent: silent}, "1 file, 2.0 KiB left: /a (" + silent + ")"},
		{file, troubleReport{Failed: failed}, "1 file, 2.0 KiB left: /a (" + failed + ")"},
		{file, troubleReport{Silent: silent, Failed: failed}, "1 file, 2.0 KiB left: /a (" + silent + "; " + failed + ")"},
		{
			[]fs.UnsavedFile{{Path: "/a", Size: 2048, Why: "no answer"}},
			troubleReport{Silent: silent, Failed: failed},
			"1 file, 2.0 KiB left: /a (" + silent + "; no answer)",
		},
		{make([]fs.UnsavedFile, 7), troubleReport{}, "7 files, 0 B left: , , , , , …"},
	} {
		if got := left(status{Status: fs.Status{Unsaved: row.unsaved}, More: mountReport{Trouble: row.trouble}}); got != row.want {
			t.Errorf("%v, %v: got %q, want %q", row.unsaved, row.trouble, got, row.want)
		}
	}
}
