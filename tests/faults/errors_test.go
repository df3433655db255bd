package faults

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// always answers one kind of request with an error, and lets the rest through.
type always struct {
	next   http.RoundTripper
	match  func(*http.Request) bool
	status int
	code   string
}

func (a always) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.match(r) {
		return harness.Answer(r, a.status, a.code), nil
	}
	return a.next.RoundTrip(r)
}

func method(names ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		for _, name := range names {
			if r.Method == name {
				return true
			}
		}
		return false
	}
}

func listing(r *http.Request) bool { return r.URL.Query().Has("list-type") }

// Each failure that does not pass reaches the program that caused the request,
// at the system call that had to wait for it, with the documented errno; and
// what could not be saved is kept where status says.
func TestErrorsReachTheProgram(t *testing.T) {
	write := func(m *harness.Mount) error { return os.WriteFile(m.Path("known", "new"), []byte("content"), 0o644) }
	large := func(m *harness.Mount) error {
		return os.WriteFile(m.Path("known", "large"), harness.Noise(1, 40<<20), 0o644)
	}
	read := func(m *harness.Mount) error {
		_, err := os.ReadFile(m.Path("known", "file"))
		return err
	}
	list := func(m *harness.Mount) error {
		_, err := os.ReadDir(m.Path("unknown"))
		return err
	}
	for _, row := range []struct {
		what   string
		match  func(*http.Request) bool
		status int
		code   string
		do     func(*harness.Mount) error
		want   syscall.Errno
	}{
		{"put denied", method("PUT"), 403, "AccessDenied", write, syscall.EACCES},
		{"put over quota", method("PUT"), 403, "QuotaExceeded", write, syscall.EDQUOT},
		{"put not accepted", method("PUT"), 400, "InvalidArgument", write, syscall.EINVAL},
		{"put by an unknown key", method("PUT"), 403, "InvalidAccessKeyId", write, syscall.EACCES},
		{"bucket gone while putting", method("PUT"), 404, "NoSuchBucket", write, syscall.EIO},
		{"part denied", func(r *http.Request) bool { return r.URL.Query().Has("partNumber") }, 403, "AccessDenied", large, syscall.EACCES},
		{"upload not begun", method("POST"), 403, "AccessDenied", large, syscall.EACCES},
		{"get denied", method("GET", "HEAD"), 403, "AccessDenied", read, syscall.EACCES},
		{"get archived", method("GET"), 403, "InvalidObjectState", read, syscall.EACCES},
		{"list denied", listing, 403, "AccessDenied", list, syscall.EACCES},
		{"bucket gone while listing", listing, 404, "NoSuchBucket", list, syscall.EIO},
		{"delete denied", method("DELETE", "POST"), 403, "AccessDenied", func(m *harness.Mount) error { return os.Remove(m.Path("known", "file")) }, syscall.EACCES},
		{"rename denied", method("PUT"), 403, "AccessDenied", func(m *harness.Mount) error {
			return os.Rename(m.Path("known", "file"), m.Path("known", "renamed"))
		}, syscall.EACCES},
		{"mkdir denied", method("PUT"), 403, "AccessDenied", func(m *harness.Mount) error { return os.Mkdir(m.Path("d"), 0o755) }, syscall.EACCES},
		{"in-place edit of an object that others replaced", method("PUT", "POST"), 412, "PreconditionFailed", func(m *harness.Mount) error {
			f, err := os.OpenFile(m.Path("known", "file"), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("x"), 3)
			return errors.Join(err, f.Close())
		}, syscall.ESTALE},
	} {
		t.Run(row.what, func(t *testing.T) {
			s := harness.NewServer(t)
			client := s.Bucket(t)
			client.Put(t, "known/file", []byte("old content"))
			client.Put(t, "unknown/file", []byte("x"))
			m := s.MountWith(t, client.Bucket, harness.MountOptions{Unsaved: true})
			if _, err := os.ReadDir(m.Path("known")); err != nil {
				t.Fatal(err)
			}
			s.Proxy.Harm(always{next: s.Proxy.Upstream(), match: row.match, status: row.status, code: row.code})
			err := row.do(m)
			s.Proxy.Harm(nil)
			if !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			// The mount is well again without being mounted anew.
			if err := os.WriteFile(m.Path("afterwards"), []byte("x"), 0o644); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			if got := client.Get(t, "known/file"); client.Has(t, "known/file") && string(got) != "old content" {
				t.Errorf("the old object holds %q", got)
			}
		})
	}
}

// What close could not save is kept, and the log, status, umount and recover say
// where, or what.
func TestUnsavedDataIsKeptAndNamed(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.MountWith(t, client.Bucket, harness.MountOptions{Unsaved: true})
	data := harness.Noise(5, 300_000)
	s.Proxy.Harm(always{next: s.Proxy.Upstream(), match: method("PUT", "POST"), status: 403, code: "AccessDenied"})
	if err := os.WriteFile(m.Path("report.txt"), data, 0o644); err == nil {
		t.Fatal("close said success")
	}
	open, err := os.Create(m.Path("open.txt"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { open.Close() })
	if _, err := open.Write(data); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(m.Home, ".local", "state", "cgs3fs", "recovery")
	says := func(what, text string, words ...string) {
		t.Helper()
		for _, word := range append(words, dir) {
			if !strings.Contains(text, word) {
				t.Errorf("%s does not name %s:\n%s", what, word, text)
			}
		}
	}
	r := m.Run(t.Context(), "status", m.Dir)
	says("status", r.Stdout, "report.txt", "open.txt")
	r = m.Run(t.Context(), "umount", "--timeout", "3s", m.Dir)
	if r.Status != 8 || !harness.Mounted(m.Dir) {
		t.Errorf("umount with unsaved data: status %d, still mounted %v", r.Status, harness.Mounted(m.Dir))
	}
	says("umount", r.Stderr, "open.txt")
	r = m.Run(t.Context(), "umount", "--force", "--timeout", "3s", m.Dir)
	if harness.Mounted(m.Dir) {
		t.Fatalf("umount --force: still mounted: %s", r.Stderr)
	}
	if r.Status != 8 {
		t.Errorf("umount --force while a program has an unsaved file open: status %d", r.Status)
	}
	says("umount --force", r.Stderr, "open.txt")
	if err := open.Close(); !errors.Is(err, syscall.EACCES) {
		t.Errorf("closing what was detached: %v, want EACCES", err)
	}
	if status := m.Wait(t); status != 8 {
		t.Errorf("the mount's process ended with status %d, want 8", status)
	}
	log, err := os.ReadFile(m.Log)
	if err != nil {
		t.Fatal(err)
	}
	says("the log", string(log), "report.txt", "open.txt")
	s.Proxy.Harm(nil)
	r = m.Run(t.Context(), "recover", "--json")
	if r.Status != 0 || !strings.Contains(r.Stdout, "report.txt") {
		t.Fatalf("recover does not list the file: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if r := m.Run(t.Context(), "recover", "upload", "--bucket", client.Bucket, "all"); r.Status != 0 {
		t.Fatalf("recover upload: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	for _, name := range []string{"report.txt", "open.txt"} {
		if got := client.Get(t, name); string(got) != string(data) {
			t.Errorf("%s: recover uploaded %d other bytes", name, len(got))
		}
	}
}

// A mount that is told to stop while it can't save ends with the status of unsaved
// data, not with that of an interruption, and says where the data is.
func TestSIGTERMKeepsWhatCannotBeSaved(t *testing.T) {
	s := harness.NewServer(t)
	m := s.MountWith(t, s.Bucket(t).Bucket, harness.MountOptions{Unsaved: true})
	open, err := os.Create(m.Path("open.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, err := open.Write(harness.Noise(5, 300_000)); err != nil {
		t.Fatal(err)
	}
	s.Proxy.Harm(always{next: s.Proxy.Upstream(), match: method("PUT", "POST"), status: 403, code: "AccessDenied"})
	m.Signal(t, syscall.SIGTERM)
	if status := m.Wait(t); status != 8 {
		t.Errorf("the mount's process ended with status %d, want 8", status)
	}
	if n := len(kept(t, m)); n != 1 {
		t.Errorf("%d files are kept, want 1", n)
	}
	log, err := os.ReadFile(m.Log)
	if err != nil {
		t.Fatal(err)
	}
	want := "1 file could not be saved; kept in " + filepath.Join(m.Home, ".local", "state", "cgs3fs", "recovery")
	if !strings.Contains(string(log), want) {
		t.Errorf("it does not say %q:\n%s", want, log)
	}
}

// A page of a listing that fails is an error, never a short directory, for
// rsync --delete and rm -r decide by it.
func TestListingIsCompleteOrAnError(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	for i := range 2500 {
		if err := client.Write(t.Context(), fmt.Sprintf("dir/%04d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for page := range 3 {
		m := s.Mount(t, client.Bucket)
		seen := 0
		s.Proxy.Harm(always{next: s.Proxy.Upstream(), status: 403, code: "AccessDenied", match: func(r *http.Request) bool {
			if listing(r) && strings.HasPrefix(r.URL.Query().Get("prefix"), "dir/") {
				seen++
			}
			return seen > page && listing(r)
		}})
		entries, err := os.ReadDir(m.Path("dir"))
		s.Proxy.Harm(nil)
		if err == nil && len(entries) != 2500 {
			t.Errorf("page %d failed: %d entries and no error", page, len(entries))
		} else if err == nil {
			t.Errorf("page %d failed and the listing is complete: the test hit nothing", page)
		}
		m.Unmount(t)
	}
}
