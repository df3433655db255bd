package snapshot

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Snapshots in the bucket are plain objects below data/. Programs that clear a
// mounted bucket do not mean them.
func TestSnapshotsOutliveClearingTheMount(t *testing.T) {
	d := newDesk(t)
	d.fill()
	d.Put(t, "data/mine.txt", []byte("no snapshot"))
	d.Put(t, "data/2024/05/06/by-hand", []byte("no snapshot either"))
	made := d.create()
	m := server.Mount(t, d.Bucket)

	copied := m.Path(made.dated() + "a.txt")
	for what, err := range map[string]error{
		"removing a copy":            os.Remove(copied),
		"writing over a copy":        os.WriteFile(copied, []byte("x"), 0o644),
		"cutting a copy":             os.Truncate(copied, 0),
		"changing a copy's mode":     os.Chmod(copied, 0o600),
		"renaming a copy":            os.Rename(copied, m.Path("stolen")),
		"renaming onto a copy":       os.Rename(m.Path("a.txt"), copied),
		"a new file beside copies":   os.WriteFile(m.Path(made.dated()+"new"), nil, 0o644),
		"renaming all snapshots":     os.Rename(m.Path("data"), m.Path("elsewhere")),
		"renaming the year":          os.Rename(m.Path("data", made.ID[:4]), m.Path("year")),
		"removing the manifest":      os.Remove(m.Path("data/.cgs3fs", made.ID, "manifest.json")),
		"a new name for the control": os.Rename(m.Path("data/.cgs3fs"), m.Path("control")),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v, want EROFS", what, err)
		}
	}

	// An empty directory beside it, as a source that must be equal.
	cmd := exec.Command("rsync", "-a", "--delete", t.TempDir()+"/", m.Dir+"/")
	out, _ := cmd.CombinedOutput() // it says what it could not delete
	t.Logf("rsync --delete:\n%.500s", out)
	if out, err := exec.Command("sh", "-c", "rm -rf "+m.Dir+"/*").CombinedOutput(); err == nil {
		t.Errorf("rm -rf says that nothing is left:\n%s", out)
	}
	for _, name := range []string{"a.txt", "dir", "data/mine.txt", "data/2024"} {
		if _, err := os.Lstat(m.Path(name)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	m.Unmount(t)
	d.snapshot(0, "verify", made.ID, "--level", "read")
}
