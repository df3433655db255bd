package faults

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// as runs a command line as another user.
func as(u *harness.User, line string) harness.Result {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LANG=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID}}
	return harness.Run(cmd)
}

// Another user is let into a mount by --allow-other only, may then do what the
// modes say and nothing else, and can neither end the mount nor gain rights by a
// setuid file in the bucket.
func TestAnotherUserMayDoWhatTheModesSay(t *testing.T) {
	nobody := harness.Nobody(t)
	s := harness.NewServer(t)
	client := s.Bucket(t)
	client.Put(t, "dir/file", []byte("content\n"))
	private := s.Mount(t, client.Bucket, "--cache", filepath.Join(t.TempDir(), "cache"))
	shared := s.Mount(t, client.Bucket, "--allow-other")
	closed := s.Mount(t, client.Bucket, "--allow-other", "--file-mode", "0600", "--dir-mode", "0700")
	program, err := os.ReadFile("/usr/bin/id")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(shared.Path("id"), program, 0o755), os.Chmod(shared.Path("id"), 0o755|fs.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		line, says string
		allowed    bool
	}{
		{"ls " + private.Dir, "Permission denied", false},
		{"cat " + private.Path("dir/file"), "Permission denied", false},
		{"stat " + private.Dir, "Permission denied", false},
		{"cat " + shared.Path("dir/file"), "content", true},
		{"ls " + shared.Path("dir"), "file", true},
		{"echo x >" + shared.Path("dir/file"), "Permission denied", false},
		{"echo x >" + shared.Path("dir/new"), "Permission denied", false},
		{"mkdir " + shared.Path("new"), "Permission denied", false},
		{"rm -f " + shared.Path("dir/file"), "Permission denied", false},
		{"mv " + shared.Path("dir/file") + " " + shared.Path("moved"), "Permission denied", false},
		{"chmod 777 " + shared.Path("dir/file"), "not permitted", false},
		{"chown 65534 " + shared.Path("dir/file"), "not permitted", false},
		{"touch -d 2001-01-01 " + shared.Path("dir/file"), "denied", false},
		{"truncate -s 0 " + shared.Path("dir/file"), "Permission denied", false},
		{shared.Path("id") + " -u", "65534\n", true}, // not 0: nosuid
		{"cat " + closed.Path("dir/file"), "Permission denied", false},
		{"ls " + closed.Dir, "Permission denied", false},
		{"umount " + shared.Dir, "", false},
		{"fusermount3 -u " + shared.Dir, "", false},
		{"kill " + strconv.Itoa(shared.PID()), "", false},
	} {
		r := as(nobody, row.line)
		if (r.Status == 0) != row.allowed || !strings.Contains(r.Stdout+r.Stderr, row.says) {
			t.Errorf("%s: exit status %d, want it allowed: %v, and to say %q\n%s%s", row.line, r.Status, row.allowed, row.says, r.Stdout, r.Stderr)
		}
	}
	if got := client.Get(t, "dir/file"); string(got) != "content\n" {
		t.Errorf("the object holds %q", got)
	}
	nothingIsOpen(t, private.Home)
}

// nothingIsOpen looks for what other users could read of the mount's own files.
func nothingIsOpen(t *testing.T, home string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the mount is at work
		}
		if err != nil || !strings.Contains(path, "/cgs3fs") {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		seen++
		if info.Mode().Perm()&0o077 != 0 && !strings.HasSuffix(path, "/cgs3fs") {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || seen == 0 {
		t.Errorf("looked at %d files: %v", seen, err)
	}
}
