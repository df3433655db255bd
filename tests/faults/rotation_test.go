package faults

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// The key stops working while files are open: reads, listings and writes fail
// with EACCES, what is unsaved is kept, and once the source of the credentials has a new key the mount goes
// on with it, without a remount.
func TestMountGoesOnWithARotatedKey(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	data := harness.Noise(1, 100_000)
	client.Put(t, "unread", data)
	client.Put(t, "unlisted/file", data)
	file := filepath.Join(t.TempDir(), "vcap.json")
	writeCredentials(t, file, s, client.Bucket)
	m := s.MountWith(t, client.Bucket, harness.MountOptions{
		Flags: []string{"--credentials", file}, Unsaved: true,
		// Nothing but the file may help.
		Env: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="},
	})
	if err := os.WriteFile(m.Path("before"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.Path("unlisted")); err != nil {
		t.Fatal(err)
	}
	const precious = "precious-and-unsaved"
	open, err := os.Create(m.Path(precious))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, err := open.Write(data); err != nil {
		t.Fatal(err)
	}

	s.Kill()
	s.AccessKey, s.SecretKey = "AKIAROTATEDROTATED", "rotated-secret-rotated-secret"
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path("between"), data, 0o644); !errors.Is(err, syscall.EACCES) {
		t.Errorf("writing with a key that is gone: %v, want EACCES", err)
	}
	for _, name := range []string{"unread", "before"} { // also what was read before, for open asks
		if _, err := os.ReadFile(m.Path(name)); !errors.Is(err, syscall.EACCES) {
			t.Errorf("reading %s with a key that is gone: %v, want EACCES", name, err)
		}
	}
	if _, err := os.ReadDir(m.Path("unlisted")); !errors.Is(err, syscall.EACCES) {
		t.Errorf("listing with a key that is gone: %v, want EACCES", err)
	}
	if err := open.Sync(); !errors.Is(err, syscall.EACCES) {
		t.Errorf("fsync with a key that is gone: %v, want EACCES", err)
	}
	if why, ok := unsavedOf(t, m)["/"+precious]; !ok || !strings.Contains(why, "credentials not accepted") {
		t.Errorf("status does not name the unsaved file, and with it what S3 said: %q", why)
	}

	writeCredentials(t, file, s, client.Bucket)
	deadline := time.Now().Add(60 * time.Second)
	for {
		_, err := os.ReadFile(m.Path("unread"))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a minute after the new key was there: %v", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err := os.WriteFile(m.Path("after"), data, 0o644); err != nil {
		t.Errorf("writing with the new key: %v", err)
	}
	if got := s.Client(client.Bucket).Get(t, "after"); string(got) != string(data) {
		t.Error("the object written with the new key holds other bytes")
	}
	if got, err := os.ReadFile(m.Path("before")); err != nil || string(got) != string(data) {
		t.Errorf("reading with the new key: %v", err)
	}
	// What waited is saved, and what close had to give up was kept.
	if err := open.Sync(); err != nil {
		t.Errorf("fsync with the new key: %v", err)
	}
	if got := s.Client(client.Bucket).Get(t, precious); string(got) != string(data) {
		t.Error("the file that was open meanwhile holds other bytes")
	}
	if r := m.Run(t.Context(), "recover", "upload", "--credentials", file, "all"); r.Status != 0 {
		t.Fatalf("recover upload: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if got := s.Client(client.Bucket).Get(t, "between"); string(got) != string(data) {
		t.Error("what was written with a key that was gone is not what recover uploads")
	}
}

// unsavedOf is the files that a mount says are unsaved, and why.
func unsavedOf(t *testing.T, m *harness.Mount) map[string]string {
	t.Helper()
	r := m.Run(t.Context(), "status", "--json", m.Dir)
	if r.Status != 0 {
		t.Fatalf("status: %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	var status struct {
		Unsaved []struct{ Path, Why string }
	}
	if err := json.Unmarshal([]byte(r.Stdout), &status); err != nil {
		t.Fatalf("status --json: %v\n%s", err, r.Stdout)
	}
	files := map[string]string{}
	for _, u := range status.Unsaved {
		files[u.Path] = u.Why
	}
	return files
}

// writeCredentials writes what Cloud Foundry puts into VCAP_SERVICES.
func writeCredentials(t *testing.T, file string, s *harness.Server, bucket string) {
	t.Helper()
	doc := s.VCAP(bucket)
	tmp := file + ".new"
	if err := os.WriteFile(tmp, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, file); err != nil {
		t.Fatal(err)
	}
}
