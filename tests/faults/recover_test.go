package faults

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// What close could not save can be written to a file, whole, also where only an edit
// of a large object is kept; and thrown away, but only by who says so twice. Neither
// changes the bucket.
func TestRecoveredFilesAreExportedAndDiscarded(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	old := harness.Noise(1, 30<<20)
	client.Put(t, "table", old)
	m := s.MountWith(t, client.Bucket, harness.MountOptions{Unsaved: true})
	s.Proxy.Harm(always{next: s.Proxy.Upstream(), match: method("PUT", "POST"), status: 403, code: "AccessDenied"})
	report := harness.Noise(2, 300_000)
	if err := os.WriteFile(m.Path("report.txt"), report, 0o644); !errors.Is(err, syscall.EACCES) {
		t.Fatalf("writing: %v, want EACCES", err)
	}
	f, err := os.OpenFile(m.Path("table"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	edited := append(append(append([]byte(nil), old[:20<<20]...), "edited"...), old[20<<20+6:]...)
	_, err = f.WriteAt([]byte("edited"), 20<<20)
	if err = errors.Join(err, f.Close()); !errors.Is(err, syscall.EACCES) {
		t.Fatalf("editing: %v, want EACCES", err)
	}
	run := func(status int, args ...string) harness.Result {
		t.Helper()
		r := m.Run(t.Context(), args...)
		if r.Status != status {
			t.Errorf("%q: exit status %d, want %d\n%s%s", args, r.Status, status, r.Stdout, r.Stderr)
		}
		return r
	}
	run(8, "umount", "--force", m.Dir)
	if status := m.Wait(t); status != 8 {
		t.Errorf("the mount's process ended with status %d, want 8", status)
	}
	s.Proxy.Harm(nil)

	names := map[string]string{} // by key
	list := func() []string {
		t.Helper()
		var kept []struct{ Name, Key string }
		r := run(0, "recover", "--json")
		if err := json.Unmarshal([]byte(r.Stdout), &kept); err != nil {
			t.Fatalf("%v: %s", err, r.Stdout)
		}
		var keys []string
		for _, k := range kept {
			names[k.Key], keys = k.Name, append(keys, k.Key)
		}
		return keys
	}
	if keys := list(); len(keys) != 2 || names["report.txt"] == "" || names["table"] == "" {
		t.Fatalf("kept are %q", keys)
	}
	to := filepath.Join(t.TempDir(), "exported")
	bucket := []string{"--bucket", client.Bucket}
	for key, want := range map[string][]byte{"report.txt": report, "table": edited} {
		run(0, append(append([]string{"recover", "export"}, bucket...), names[key], to+"-"+key)...)
		got, err := os.ReadFile(to + "-" + key)
		if err != nil || string(got) != string(want) {
			t.Errorf("of %s %d other bytes were exported: %v", key, len(got), err)
		}
		// Not over a file that is there.
		run(1, append(append([]string{"recover", "export"}, bucket...), names["report.txt"], to+"-"+key)...)
		if again, err := os.ReadFile(to + "-" + key); err != nil || string(again) != string(want) {
			t.Errorf("the second export wrote over the first: %d other bytes, %v", len(again), err)
		}
	}
	run(4, append(append([]string{"recover", "export"}, bucket...), "no-such-name", to)...)

	if r := run(9, "recover", "discard", names["report.txt"]); !strings.Contains(r.Stderr, "--yes") {
		t.Errorf("discard does not say what it needs: %s", r.Stderr)
	}
	if keys := list(); len(keys) != 2 {
		t.Errorf("after an export, and a discard without --yes, these are left: %q", keys)
	}
	run(0, "recover", "discard", "--yes", names["report.txt"])
	if keys := list(); len(keys) != 1 || keys[0] != "table" {
		t.Errorf("after one was discarded these are left: %q", keys)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(kept(t, m)[0]), names["report.txt"]+"*")); err != nil || len(left) > 0 {
		t.Errorf("of what was discarded there is still %q", left)
	}
	if client.Has(t, "report.txt") || string(client.Get(t, "table")) != string(old) {
		t.Error("the bucket has changed")
	}
}
