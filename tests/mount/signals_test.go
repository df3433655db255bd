package mount

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// slow answers every request a little later.
type slow struct {
	next  http.RoundTripper
	delay time.Duration
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(s.delay)
	return s.next.RoundTrip(r)
}

// A signal that a program catches, such as the one that Go's own runtime sends
// its threads all the time, interrupts no system call on a local disk, and so
// none here: only being killed does.
func TestCaughtSignalsInterruptNothing(t *testing.T) {
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket, "--metadata-ttl", "0")
	s.Proxy.Harm(slow{s.Proxy.Upstream(), 30 * time.Millisecond})
	defer s.Proxy.Harm(nil)

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := syscall.Gettid()
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				syscall.Tgkill(os.Getpid(), thread, syscall.SIGURG)
			}
		}
	}()
	defer func() { close(done); <-stopped }()

	// The calls as they are: package os would repeat interrupted ones.
	for i := range 10 {
		dir := m.Path(fmt.Sprintf("dir%d", i))
		if err := syscall.Mkdir(dir, 0o755); err != nil {
			t.Fatalf("mkdir: %v", err)
		}
		fd, err := syscall.Open(dir+"/file", syscall.O_CREAT|syscall.O_EXCL|syscall.O_RDWR, 0o644)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		if _, err := syscall.Write(fd, harness.Noise(uint64(i), 100_000)); err != nil {
			t.Fatalf("write: %v", err)
		}
		if err := syscall.Fsync(fd); err != nil {
			t.Fatalf("fsync: %v", err)
		}
		if _, err := syscall.Write(fd, []byte("more")); err != nil {
			t.Fatalf("write: %v", err)
		}
		if err := syscall.Close(fd); err != nil {
			t.Fatalf("close: %v", err)
		}
		if err := syscall.Rename(dir+"/file", dir+"/renamed"); err != nil {
			t.Fatalf("rename: %v", err)
		}
		if err := syscall.Unlink(dir + "/renamed"); err != nil {
			t.Fatalf("unlink: %v", err)
		}
		if err := syscall.Rmdir(dir); err != nil {
			t.Fatalf("rmdir: %v", err)
		}
	}
}
