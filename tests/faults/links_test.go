package faults

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// A link in the bucket may say anything: it is read as it is, and only the kernel
// follows it, with the rights of the program that asked. The mount itself, which may be
// root's, never opens what it leads to, and removing or renaming it touches nothing else.
func TestLinksAreReadAndNeverFollowed(t *testing.T) {
	nobody := harness.Nobody(t)
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := errors.Join(os.Chmod(outside, 0o755), os.Chmod(filepath.Dir(outside), 0o755), os.WriteFile(secret, []byte("for root only"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := harness.NewServer(t)
	client := s.Bucket(t)
	targets := map[string]string{
		"shadow": "/etc/shadow", "up": "../../../../../../etc/shadow", "dots": "../../..", "here": ".", "itself": "itself",
		"proc": "/proc/self/root/etc/shadow", "secret": secret, "directory": outside, "nowhere": "no such file", "line": "a\nb", "strange": "\xff\xfe/ü",
	}
	for name, target := range targets {
		client.Put(t, "dir/"+name+".rclonelink", []byte(target))
	}
	m := s.Mount(t, client.Bucket, "--allow-other")
	watch := watched(t, outside)
	for name, target := range targets {
		path := m.Path("dir", name)
		if got, err := os.Readlink(path); err != nil || got != target {
			t.Errorf("%s leads to %q (%v), want %q", name, got, err, target)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSymlink || info.Size() != int64(len(target)) {
			t.Errorf("%s: %v, %v, want a link of %d bytes", name, info, err, len(target))
		}
		if f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0); !errors.Is(err, syscall.ELOOP) {
			t.Errorf("opening %s itself: %v, want ELOOP", name, err)
			f.Close()
		}
	}
	if entries, err := os.ReadDir(m.Path("dir")); err != nil || len(entries) != len(targets) {
		t.Errorf("the directory has %d entries, want %d: %v", len(entries), len(targets), err)
	}
	for name := range targets {
		if err := os.Rename(m.Path("dir", name), m.Path("dir", name+"2")); err != nil {
			t.Errorf("renaming %s: %v", name, err)
		}
	}
	if seen := watch(); len(seen) > 0 {
		t.Errorf("what the links lead to was touched: %q", seen)
	}
	// The kernel follows them for programs, with their rights.
	if got, err := os.ReadFile(m.Path("dir", "secret2")); err != nil || string(got) != "for root only" {
		t.Errorf("following as root: %q, %v", got, err)
	}
	if seen := watch(); len(seen) == 0 {
		t.Error("nothing was seen when the link was followed: the watch proves nothing")
	}
	for _, name := range []string{"secret2", "shadow2", "up2"} {
		if r := as(nobody, "cat "+m.Path("dir", name)); r.Status == 0 || !strings.Contains(r.Stderr, "ermission denied") && !strings.Contains(r.Stderr, "No such file") {
			t.Errorf("following %s without rights: exit status %d\n%s%s", name, r.Status, r.Stdout, r.Stderr)
		}
	}
	if err := os.RemoveAll(m.Path("dir")); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(secret); err != nil || string(got) != "for root only" {
		t.Errorf("what a link led to was changed by removing the link: %q, %v", got, err)
	}
	if keys := client.Keys(t, "dir/"); len(keys) > 0 {
		t.Errorf("left in the bucket: %q", keys)
	}
}

// watched tells which files of a directory somebody opened, read, changed or removed
// since it was last asked.
func watched(t *testing.T, dir string) func() []string {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_ALL_EVENTS); err != nil {
		t.Fatal(err)
	}
	return func() (names []string) {
		t.Helper()
		buf := make([]byte, 64<<10)
		n, err := unix.Read(fd, buf)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		for at := 0; at < n; {
			length := int(buf[at+12]) | int(buf[at+13])<<8
			names = append(names, strings.TrimRight(string(buf[at+unix.SizeofInotifyEvent:at+unix.SizeofInotifyEvent+length]), "\x00"))
			at += unix.SizeofInotifyEvent + length
		}
		return names
	}
}
