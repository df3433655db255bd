package mount

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// use does a little of everything, enough to see that a mount works.
func use(t testing.TB, m *harness.Mount) {
	t.Helper()
	data := harness.Noise(7, 3<<20)
	if err := os.MkdirAll(m.Path("dir", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, m.Path("dir", "sub", "file"), data)
	wantContent(t, m.Path("dir", "sub", "file"), data)
	wantNames(t, m.Path("dir"), "sub")
	if err := os.Rename(m.Path("dir"), m.Path("moved")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, m.Path("moved", "sub", "file"), data)
	if err := os.RemoveAll(m.Path("moved")); err != nil {
		t.Fatal(err)
	}
	wantNames(t, m.Dir)
}

func TestMountServesAnUnprivilegedUser(t *testing.T) {
	nobody := harness.Nobody(t)
	s := harness.NewServer(t)
	m := s.MountWith(t, s.Bucket(t).Bucket, harness.MountOptions{User: nobody})
	// Only the user who mounted may look, so the shell runs as that user.
	script := `cd "$1" && mkdir dir && echo content > dir/file && mv dir moved && cat moved/file && ls -ln moved && rm -r moved && ls`
	cmd := exec.Command("sh", "-ec", script, "sh", m.Dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody.UID, Gid: nobody.GID}}
	r := harness.Run(cmd)
	if r.Status != 0 || !strings.HasPrefix(r.Stdout, "content\n") || !strings.Contains(r.Stdout, " 65534 65534 ") {
		t.Errorf("exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	// Root is another user, and the kernel keeps others out unless allowed in.
	if _, err := os.Stat(m.Dir); err == nil {
		t.Error("another user may look into the mount without --allow-other")
	}
}

// mount in the background returns once the mount answers, and umount once all
// is in S3 and the process is gone.
func TestBackgroundMountAnswersWhenItReturns(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Prepare(t, client.Bucket, harness.MountOptions{})
	r := m.Run(t.Context(), "mount", "s3://"+client.Bucket, m.Dir)
	if r.Status != 0 {
		t.Fatalf("exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if !strings.Contains(r.Stdout+r.Stderr, client.Bucket) || !strings.Contains(r.Stdout+r.Stderr, "umount") {
		t.Errorf("mount must say which bucket it mounted and how to unmount; it said:\n%s%s", r.Stdout, r.Stderr)
	}
	use(t, m)
	write(t, m.Path("last"), harness.Noise(1, 20<<20))
	if r := m.Run(t.Context(), "umount", m.Dir); r.Status != 0 {
		t.Fatalf("umount: exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if harness.Mounted(m.Dir) {
		t.Error("still mounted after umount")
	}
	wantEqual(t, "last", client.Get(t, "last"), harness.Noise(1, 20<<20))
}

func TestMountpointIsMadeAndRemovedAgain(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Prepare(t, client.Bucket, harness.MountOptions{})
	if err := os.Remove(m.Dir); err != nil {
		t.Fatal(err)
	}
	r := m.Run(t.Context(), "mount", "s3://"+client.Bucket, m.Dir)
	if r.Status != 0 {
		t.Fatalf("exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	use(t, m)
	if r := m.Run(t.Context(), "umount", m.Dir); r.Status != 0 {
		t.Fatalf("umount: exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if _, err := os.Lstat(m.Dir); !os.IsNotExist(err) {
		t.Errorf("the mountpoint that mount made is still there: %v", err)
	}
}

// However a mount is asked to end, what programs wrote is in the bucket, and
// the process ends with status 0, by a signal too: it did all that it had to.
func TestEveryEndFlushesFirst(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(t *testing.T, m *harness.Mount)
	}{
		{"SIGTERM", func(t *testing.T, m *harness.Mount) { m.Signal(t, syscall.SIGTERM) }},
		{"SIGINT", func(t *testing.T, m *harness.Mount) { m.Signal(t, syscall.SIGINT) }},
		{"fusermount3 -u", func(t *testing.T, m *harness.Mount) { run(t, "/", "fusermount3", "-u", m.Dir) }},
		{"umount", func(t *testing.T, m *harness.Mount) {
			if os.Getuid() != 0 {
				t.Skip("umount(8) needs root")
			}
			run(t, "/", "umount", m.Dir)
		}},
	} {
		t.Run(end.name, func(t *testing.T) {
			s := harness.NewServer(t)
			client := s.Bucket(t)
			m := s.Mount(t, client.Bucket)
			data := harness.Noise(3, 30<<20)
			write(t, m.Path("file"), data)
			end.do(t, m)
			if status := m.Wait(t); status != 0 {
				t.Errorf("exit status %d, want 0: everything was saved", status)
			}
			if harness.Mounted(m.Dir) {
				t.Error("still mounted")
			}
			wantEqual(t, "file", client.Get(t, "file"), data)
		})
	}
}

// A descriptor with unsaved bytes that is still open when SIGTERM comes is
// saved as well: the program gets no other chance to say close.
func TestSIGTERMSavesOpenFiles(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	f, err := os.Create(m.Path("open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := harness.Noise(3, 20<<20)
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	m.Signal(t, syscall.SIGTERM)
	m.Wait(t)
	wantEqual(t, "open", client.Get(t, "open"), data)
}

func TestDeadMountIsHealed(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	write(t, m.Path("file"), []byte("content"))
	m.Signal(t, syscall.SIGKILL)
	m.Wait(t)
	if !harness.Mounted(m.Dir) {
		t.Fatal("the kernel removed the dead mount itself: nothing to heal")
	}
	m.Start(t)
	wantContent(t, m.Path("file"), []byte("content"))
	write(t, m.Path("other"), []byte("x"))
}

// A program that is killed in the moment of mounting ends. One that used its own
// mount then would wait for its own answer for ever.
func TestKilledWhileMountingEnds(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Prepare(t, client.Bucket, harness.MountOptions{})
	program, err := harness.Program()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		cmd := exec.Command(program, "mount", "--foreground", "s3://"+client.Bucket, m.Dir)
		cmd.Env = m.Env()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); !harness.Mounted(m.Dir) && time.Since(start) < time.Minute; {
			time.Sleep(50 * time.Microsecond)
		}
		time.Sleep(time.Duration(i%20) * 100 * time.Microsecond)
		cmd.Process.Kill()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			syscall.Unmount(m.Dir, syscall.MNT_FORCE) // gives it the answer that it waits for
			t.Fatalf("run %d: the program was killed a minute ago, and is still there", i)
		}
		if r := m.Run(t.Context(), "umount", m.Dir); r.Status != 0 {
			t.Fatalf("clearing the dead mount: exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
		}
	}
}

func TestLiveMountIsRefused(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	write(t, m.Path("file"), []byte("content"))
	r := m.Run(t.Context(), "mount", "s3://"+client.Bucket, m.Dir)
	if r.Status == 0 || !strings.Contains(r.Stderr, "mounted") {
		t.Errorf("mounting over a live mount: exit status %d, %q", r.Status, r.Stderr)
	}
	wantContent(t, m.Path("file"), []byte("content"))
}

// umount of a busy mount says so and leaves it alone.
func TestUmountOfABusyMountSaysSo(t *testing.T) {
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket)
	f, err := os.Create(m.Path("open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if r := m.Run(ctx, "umount", m.Dir); r.Status == 0 || !strings.Contains(r.Stderr, "busy") && !strings.Contains(r.Stderr, "in use") {
		t.Errorf("umount with an open file: exit status %d, %q", r.Status, r.Stderr)
	}
	if !harness.Mounted(m.Dir) {
		t.Error("the busy mount is gone")
	}
}

func TestReadOnlyMountChangesNothing(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	client.Put(t, "dir/file", []byte("content"))
	m := s.Mount(t, client.Bucket, "--read-only")
	wantContent(t, m.Path("dir", "file"), []byte("content"))
	for what, err := range map[string]error{
		"write":  os.WriteFile(m.Path("dir", "file"), []byte("x"), 0o644),
		"create": os.WriteFile(m.Path("new"), []byte("x"), 0o644),
		"mkdir":  os.Mkdir(m.Path("d"), 0o755),
		"remove": os.Remove(m.Path("dir", "file")),
		"rename": os.Rename(m.Path("dir"), m.Path("dir2")),
		"chmod":  os.Chmod(m.Path("dir", "file"), 0o600),
	} {
		if errno(err) != syscall.EROFS {
			t.Errorf("%s on a read-only mount: %v, want EROFS", what, err)
		}
	}
}

func TestPrefixIsTheRoot(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	client.Put(t, "outside", []byte("o"))
	client.Put(t, "in/side/file", []byte("i"))
	m := s.Mount(t, client.Bucket+"/in/side/")
	wantNames(t, m.Dir, "file")
	write(t, m.Path("new"), []byte("n"))
	wantEqual(t, "new", client.Get(t, "in/side/new"), []byte("n"))
	if _, err := os.Stat(filepath.Join(m.Dir, "outside")); !os.IsNotExist(err) {
		t.Errorf("a key outside the prefix is reachable: %v", err)
	}
}
