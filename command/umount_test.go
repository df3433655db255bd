package command

import (
	"testing"

	"github.com/cgs3fs/cgs3fs/fs"
)

func TestWhatIsLeftIsNamed(t *testing.T) {
	for _, row := range []struct {
		unsaved []fs.UnsavedFile
		want    string
	}{
		{nil, "modes, times or owners of some files"},
		{[]fs.UnsavedFile{{Path: "/a", Size: 2048, Why: "no answer"}}, "1 files, 2.0 KiB left: /a (no answer)"},
		{make([]fs.UnsavedFile, 7), "7 files, 0 B left: , , , , , …"},
	} {
		if got := left(status{Status: fs.Status{Unsaved: row.unsaved}}); got != row.want {
			t.Errorf("%v: got %q, want %q", row.unsaved, got, row.want)
		}
	}
}
