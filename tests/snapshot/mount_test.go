package snapshot

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// TestSnapshotsInTheMount looks at snapshots by name in a mounted bucket, where
// no program that walks it meets them.
func TestSnapshotsInTheMount(t *testing.T) {
	d := newDesk(t)
	files := d.fill()
	first := d.create()
	written := *d.Head(t, "a.txt").LastModified
	d.Put(t, "a.txt", []byte("changed"))
	second := d.create("--incremental")
	m := server.Mount(t, d.Bucket)
	if diff := cmp.Diff(files, d.tree(m.Path(".snapshots", first.ID))); diff != "" {
		t.Errorf("the first snapshot (-want +got):\n%s", diff)
	}
	files["a.txt"] = "changed"
	if diff := cmp.Diff(files, d.tree(m.Path(".snapshots", second.ID))); diff != "" {
		t.Errorf("the second snapshot (-want +got):\n%s", diff)
	}
	if target, err := os.Readlink(m.Path(".snapshots", "latest")); err != nil || target != second.ID {
		t.Errorf("latest is %q, %v", target, err)
	}
	info, err := os.Stat(m.Path(".snapshots", first.ID, "a.txt"))
	if err != nil || !info.ModTime().Equal(written) {
		t.Errorf("modified %v, not %v, %v", info.ModTime(), written, err)
	}
	wantReadOnly(t, m.Path(".snapshots", first.ID))
	wantUnseen(t, m)
}

func wantReadOnly(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(dir, "a.txt")
	for name, do := range map[string]func() error{
		"write":  func() error { return os.WriteFile(file, []byte("x"), 0o600) },
		"create": func() error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o600) },
		"mkdir":  func() error { return os.Mkdir(filepath.Join(dir, "sub"), 0o700) },
		"remove": func() error { return os.Remove(file) },
		"rmdir":  func() error { return syscall.Rmdir(dir) },
		"rename": func() error { return os.Rename(file, filepath.Join(dir, "other")) },
		"chmod":  func() error { return os.Chmod(file, 0o600) },
		"trunc":  func() error { return os.Truncate(file, 0) },
	} {
		if err := do(); !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wantUnseen checks that walks of the mount's root pass .snapshots by.
func wantUnseen(t *testing.T, m *harness.Mount) {
	t.Helper()
	entries, err := os.ReadDir(m.Dir)
	if err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == ".snapshots" }) {
		t.Errorf("the root lists %v, %v", entries, err)
	}
	out, err := exec.Command("find", m.Dir, "-name", ".snapshots").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("find: %s%v", out, err)
	}
	empty := t.TempDir() + "/"
	if out, err := exec.Command("rsync", "-rn", "--delete", "-v", empty, m.Dir).CombinedOutput(); err == nil && strings.Contains(string(out), ".snapshots") {
		t.Errorf("rsync --delete would say:\n%s", out)
	}
}
