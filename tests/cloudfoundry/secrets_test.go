package cloudfoundry

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// cf service-key files laptop | cgs3fs mount --credentials - ./bucket: the
// process in the background gets what was piped to the one in the foreground.
func TestCredentialsThroughAPipe(t *testing.T) {
	c := newCloud(t)
	k, err := c.account("piped")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("Getting key piped for service instance files as %s...\n\n{\n  \"credentials\": {\"access_key_id\": %q, \"secret_access_key\": %q, \"bucket\": %q, \"region\": %q, \"endpoint\": %q}\n}\n",
		user, k["access_key_id"], k["secret_access_key"], k["bucket"], k["region"], k["endpoint"])
	dir := filepath.Join(t.TempDir(), "bucket")
	r := c.runWith(text, "mount", "--credentials", "-", dir)
	if r.Status != 0 {
		t.Fatalf("mount: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	t.Cleanup(func() {
		if r := c.run("umount", dir); r.Status != 0 {
			t.Errorf("umount: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("hello\n"), 0o644); err != nil || !c.bucket.Has(t, "hello") {
		t.Errorf("writing: %v", err)
	}
	if strings.Contains(r.Stdout+r.Stderr, c.secret) {
		t.Error("mount prints the secret")
	}
}

// A crash writes no core, and what it prints holds no secret.
func TestCrashShowsNoSecret(t *testing.T) {
	c := newCloud(t)
	c.service("files", "laptop")
	m := c.server.MountWith(t, c.bucket.Bucket, harness.MountOptions{
		Flags: []string{"--service", "files"}, Home: c.home, Env: append(c.env(), "GOTRACEBACK=system"), Unsaved: true,
	})
	if err := os.WriteFile(m.Path("hello"), []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", m.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && (f[4] != "0" || f[5] != "0") {
			t.Errorf("a core may be written: %s", line)
		}
	}
	c.noSecret(m)
	m.Signal(t, syscall.SIGQUIT)
	m.Wait(t)
	log, err := os.ReadFile(m.Log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "goroutine ") || strings.Contains(string(log), c.secret) {
		t.Errorf("the crash printed no stack, or the secret:\n%.2000s", log)
	}
}
