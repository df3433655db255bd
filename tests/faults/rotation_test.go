package faults

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// The key stops working while files are open: reads and writes fail with
// EACCES, and once the source of the credentials has a new key the mount goes
// on with it, without a remount.
func TestMountGoesOnWithARotatedKey(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	file := filepath.Join(t.TempDir(), "vcap.json")
	writeCredentials(t, file, s, client.Bucket)
	m := s.MountWith(t, client.Bucket, harness.MountOptions{
		Flags: []string{"--credentials", file}, Unsaved: true,
		// Nothing but the file may help.
		Env: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="},
	})
	data := harness.Noise(1, 100_000)
	if err := os.WriteFile(m.Path("before"), data, 0o644); err != nil {
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

	writeCredentials(t, file, s, client.Bucket)
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := os.WriteFile(m.Path("after"), data, 0o644)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a minute after the new key was there: %v", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if got := s.Client(client.Bucket).Get(t, "after"); string(got) != string(data) {
		t.Error("the object written with the new key holds other bytes")
	}
	if got, err := os.ReadFile(m.Path("before")); err != nil || string(got) != string(data) {
		t.Errorf("reading with the new key: %v", err)
	}
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
