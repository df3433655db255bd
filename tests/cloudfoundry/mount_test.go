package cloudfoundry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// cf login, cf target, cgs3fs mount ./bucket: nothing else to copy or paste.
func TestMountWithNothingButALogin(t *testing.T) {
	c := newCloud(t)
	c.service("files", "laptop")
	dir := filepath.Join(t.TempDir(), "bucket")
	t.Cleanup(func() {
		if harness.Mounted(dir) {
			syscall.Unmount(dir, syscall.MNT_DETACH)
			t.Error("the mount was left behind")
		}
	})
	r := c.run("mount", dir)
	if r.Status != 0 || !strings.Contains(r.Stdout, "Cloud Foundry gsa/dev, service files, key laptop") {
		t.Fatalf("mount: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("hello\n"), 0o644); err != nil {
		t.Error(err)
	}
	if got := c.bucket.Get(t, "hello"); string(got) != "hello\n" {
		t.Errorf("the bucket has %q", got)
	}
	audited := len(c.Audited())
	for range 20 { // nothing that goes on reads credentials again
		if _, err := os.ReadDir(dir); err != nil {
			t.Error(err)
		}
	}
	if n := len(c.Audited()); n != audited || n != 1 {
		t.Errorf("credentials were read %d times, want once", n)
	}
	if r := c.run("umount", dir); r.Status != 0 {
		t.Errorf("umount: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
}

func TestServiceWithoutAKeyGetsOne(t *testing.T) {
	c := newCloud(t)
	instance, _ := c.service("files", "")
	r := c.run("env", "--service", "files")
	if r.Status != 4 || !strings.Contains(r.Stderr, "--create-key") {
		t.Fatalf("without a key: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	m := c.mount("--service", "files", "--create-key")
	if err := os.WriteFile(m.Path("hello"), []byte("hello\n"), 0o644); err != nil {
		t.Error(err)
	}
	if keys := c.Keys(instance); len(keys) != 1 || !strings.HasPrefix(keys[0], "cgs3fs-") {
		t.Errorf("keys are %v", keys)
	}
	c.noSecret(m, r.Stdout, r.Stderr)
}

// A key is replaced while a program writes: no write fails, and the old key is
// gone in the end.
func TestRotateUnderARunningProgram(t *testing.T) {
	c := newCloud(t)
	instance, _ := c.service("files", "")
	m := c.mount("--service", "files", "--create-key")
	old := c.Keys(instance)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var count atomic.Int64
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			n := count.Load()
			if err := os.WriteFile(m.Path(fmt.Sprintf("file-%d", n)), harness.Noise(uint64(n), 5000), 0o644); err != nil {
				t.Errorf("write %d: %v", n, err)
				return
			}
			count.Add(1)
		}
	})
	r := c.run("rotate", "files")
	before := count.Load()
	for deadline := time.Now().Add(time.Minute); count.Load() < before+10 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // some writes after it
	}
	close(stop)
	wg.Wait()
	written := int(count.Load())
	if r.Status != 0 {
		t.Fatalf("rotate: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	keys := c.Keys(instance)
	if len(keys) != 1 || keys[0] == old[0] {
		t.Errorf("keys were %v and are %v", old, keys)
	}
	if found := c.bucket.Keys(t, "file-"); len(found) != written || written < int(before)+10 {
		t.Errorf("%d files were written, %d of them before the key was replaced, and %d are there", written, before, len(found))
	}
	c.noSecret(m, r.Stdout, r.Stderr)
}

// A mount that was given the old key in its environment can't take another: the
// key stays. A mount with a key of its own is no reason to keep it.
func TestRotateKeepsAKeyThatAMountNeeds(t *testing.T) {
	c := newCloud(t)
	instance, _ := c.service("files", "laptop")
	other := c.server.MountWith(t, c.bucket.Bucket, harness.MountOptions{}) // with the server's own key
	old, err := c.account("laptop2")
	if err != nil {
		t.Fatal(err)
	}
	c.SetCredentials(c.AddKey(instance, "laptop2", "succeeded"), old)
	fixed := c.server.MountWith(t, c.bucket.Bucket, harness.MountOptions{Env: []string{
		"AWS_ACCESS_KEY_ID=" + old["access_key_id"].(string), "AWS_SECRET_ACCESS_KEY=" + old["secret_access_key"].(string),
	}})
	r := c.run("rotate", "files", "--key", "laptop2", "--force")
	if r.Status != 3 || !strings.Contains(r.Stderr, fixed.Dir) || strings.Contains(r.Stderr, other.Dir+" did not") || len(c.Keys(instance)) != 3 {
		t.Errorf("with a mount that needs it: status %d, keys %v\n%s%s", r.Status, c.Keys(instance), r.Stdout, r.Stderr)
	}
	if err := os.WriteFile(fixed.Path("x"), []byte("x"), 0o644); err != nil {
		t.Error(err)
	}
	fixed.Unmount(t)
	r = c.run("rotate", "files", "--key", "laptop2", "--force")
	if r.Status != 0 || len(c.Keys(instance)) != 3 { // laptop, and the two successors
		t.Errorf("without it: status %d, keys %v\n%s%s", r.Status, c.Keys(instance), r.Stdout, r.Stderr)
	}
	c.noSecret(other, r.Stdout, r.Stderr)
}

// A mount whose program has died uses no key any more, and is no reason to keep it.
func TestRotateMindsNoDeadMount(t *testing.T) {
	c := newCloud(t)
	instance, _ := c.service("files", "")
	dead := c.server.MountWith(t, c.bucket.Bucket, harness.MountOptions{
		Flags: []string{"--service", "files", "--create-key"}, Home: c.home, Env: c.env(), Unsaved: true,
	})
	old := c.Keys(instance)
	dead.Signal(t, syscall.SIGKILL)
	dead.Wait(t)
	r := c.run("rotate", "files")
	if keys := c.Keys(instance); r.Status != 0 || len(keys) != 1 || keys[0] == old[0] {
		t.Errorf("status %d, keys were %v and are %v\n%s%s", r.Status, old, keys, r.Stdout, r.Stderr)
	}
}

// A key is deleted behind the mount's back, and another one made: the mount
// goes on with it, without being told.
func TestMountFindsTheNextKey(t *testing.T) {
	c := newCloud(t)
	instance, key := c.service("files", "first")
	m := c.mount("--service", "files", "--key", "first")
	if err := os.WriteFile(m.Path("before"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.key(instance, "second")
	c.RemoveKey(key)
	if err := c.admin("delete-user", "-a", "AKIAFIRST"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path("after"), []byte("x"), 0o644); err != nil {
		t.Errorf("writing with the next key there: %v", err)
	}
	if !c.bucket.Has(t, "after") {
		t.Error("the object is not in the bucket")
	}
	if r := m.Run(t.Context(), "status", m.Dir); !strings.Contains(r.Stdout, "service files, key second") {
		t.Errorf("status does not tell the key of now:\n%s%s", r.Stdout, r.Stderr)
	}
	c.noSecret(m)
}

// Without a next key, programs get EACCES, and the audit log is not filled with
// attempts to find one.
func TestMountWithoutANextKey(t *testing.T) {
	c := newCloud(t)
	_, key := c.service("files", "first")
	m := c.server.MountWith(t, c.bucket.Bucket, harness.MountOptions{
		Flags: []string{"--service", "files"}, Home: c.home, Env: c.env(), Unsaved: true,
	})
	c.RemoveKey(key)
	if err := c.admin("delete-user", "-a", "AKIAFIRST"); err != nil {
		t.Fatal(err)
	}
	asked := len(c.Requests())
	for n := range 10 {
		if err := os.WriteFile(m.Path(fmt.Sprint("after-", n)), []byte("x"), 0o644); !errors.Is(err, syscall.EACCES) {
			t.Errorf("write %d: %v, want EACCES", n, err)
		}
	}
	if more := len(c.Requests()) - asked; more > 20 {
		t.Errorf("the foundation was asked %d times", more)
	}
	c.noSecret(m)
}

func TestDoctorOnTheRealServer(t *testing.T) {
	c := newCloud(t)
	c.service("files", "laptop")
	r := c.run("doctor", "--write-test")
	if r.Status != 0 && r.Status != 3 {
		t.Errorf("status %d", r.Status)
	}
	for _, want := range []string{"ok       key", "ok       cf login", "ok       writing", "ok       conditional writes", "ok       copying", "ok       large files"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("no line %q", want)
		}
	}
	if keys := c.bucket.Keys(t, ""); len(keys) != 0 {
		t.Errorf("it left %v", keys)
	}
	if t.Failed() {
		t.Logf("\n%s%s", r.Stdout, r.Stderr)
	}
}

func TestServicesOnTheRealServer(t *testing.T) {
	c := newCloud(t)
	c.service("files", "laptop")
	r := c.run("services")
	if r.Status != 0 || !strings.Contains(r.Stdout, c.bucket.Bucket) {
		t.Errorf("status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	t.Logf("\n%s%s", r.Stdout, r.Stderr)
}
