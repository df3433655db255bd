package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnsafeDirectoriesAreRefused(t *testing.T) {
	base := t.TempDir()
	mkdir := func(name string, mode os.FileMode) string {
		path := filepath.Join(base, name)
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(mkdir("target", 0o700), link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(base, "file")
	writeFile(t, file, nil)
	bad := map[string]string{
		"a symbolic link":                  link,
		"a symbolic link before a slash":   link + "/",
		"a dangling symbolic link":         filepath.Join(base, "dangling"),
		"a file":                           file,
		"a directory the group may change": mkdir("group", 0o770),
		"a directory all may change":       mkdir("all", 0o707),
	}
	if err := os.Symlink("nowhere", bad["a dangling symbolic link"]); err != nil {
		t.Fatal(err)
	}
	if other := mkdir("other", 0o700); os.Chown(other, 12345, -1) == nil {
		bad["another user's directory"] = other
	}
	for what, path := range bad {
		if _, err := openFolder(path); !errors.Is(err, ErrDirUnsafe) {
			t.Errorf("%s: %v, want ErrDirUnsafe", what, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(base, "target")); err != nil || len(entries) != 0 {
		t.Errorf("behind the link: %v, %v", entries, err)
	}
	for _, mode := range []os.FileMode{0o700, 0o755} {
		f, err := openFolder(mkdir(fmt.Sprint("good", mode), mode))
		if err != nil {
			t.Errorf("mode %v: %v", mode, err)
			continue
		}
		if err := f.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFilesArePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	f, err := openFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.write("x", "x.new", []byte("1"), []byte("2")), f.close()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "x": 0o600, lockName: 0o600} {
		if i, err := os.Lstat(filepath.Join(path, name)); err != nil || i.Mode() != want {
			t.Errorf("%q: %v, %v, want mode %v", name, i, err, want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(path, "x")); string(got) != "12" {
		t.Errorf("x holds %q, %v", got, err)
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	b := openTestBlocks(t, cfg)
	_, err := OpenBlocks(cfg)
	if !errors.Is(err, ErrDirInUse) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("opening twice: %v, want ErrDirInUse and the process", err)
	}
	closeBlocks(t, b)
	closeBlocks(t, openTestBlocks(t, cfg))
}

func TestPlantedLockIsNotFollowed(t *testing.T) {
	base := t.TempDir()
	victim := filepath.Join(base, "victim")
	writeFile(t, victim, []byte("keep me"))
	dir := filepath.Join(base, "cache")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Symlink(victim, filepath.Join(dir, lockName))); err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(dir); err == nil {
		t.Error("a lock behind a symbolic link was taken")
	}
	if got, err := os.ReadFile(victim); string(got) != "keep me" {
		t.Errorf("the file behind the link: %q, %v", got, err)
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o700); err != nil { // rename can't replace it
		t.Fatal(err)
	}
	if err := f.write("x", "x.new", []byte("1")); err == nil {
		t.Error("writing over a directory succeeded")
	}
	if _, err := os.Lstat(filepath.Join(dir, "x.new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary file remains (%v)", err)
	}
}
