package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// MountOptions say how a bucket is to be mounted. The zero value mounts it the
// way a user does who gives nothing but the bucket and the directory.
type MountOptions struct {
	Flags    []string // more flags of cgs3fs mount
	Env      []string // more environment, after the credentials
	Endpoint string   // "" is the server's proxy
	Home     string   // where the program keeps its files; "" is a fresh directory
	User     *User    // "" is the user who runs the tests
	Launcher []string // a program and arguments that start cgs3fs, such as prlimit

	// Unsaved marks a test that leaves unsaved data on purpose: that umount and the
	// process say so by their exit status, the files in the recovery directory and the
	// uploads that these name are then no failure. All else that is left is one.
	Unsaved bool
}

// Mount is a bucket mounted by a cgs3fs process of its own.
type Mount struct {
	Dir  string // the mountpoint
	Home string // HOME, XDG directories and TMPDIR of the process are below it
	Log  string // path of what it printed

	server  *Server
	bucket  string
	options MountOptions
	bin     string // the program, where the mount's user can reach it

	mu     sync.Mutex
	cmd    *exec.Cmd     // guarded by mu; nil when not running
	exited chan struct{} // guarded by mu; closed when cmd has ended
}

// patience is how long mounting and unmounting may take before a test fails.
// Unmounting waits for uploads, and the machine may be busy.
const patience = 60 * time.Second

// Mount mounts a bucket for as long as the test runs.
func (s *Server) Mount(t testing.TB, bucket string, flags ...string) *Mount {
	t.Helper()
	return s.MountWith(t, bucket, MountOptions{Flags: flags})
}

// MountWith is Mount with everything to choose.
func (s *Server) MountWith(t testing.TB, bucket string, o MountOptions) *Mount {
	t.Helper()
	m := s.Prepare(t, bucket, o)
	m.Start(t)
	return m
}

// Prepare is MountWith without the mounting: the directories, the environment
// and the checks at the end.
func (s *Server) Prepare(t testing.TB, bucket string, o MountOptions) *Mount {
	t.Helper()
	m := &Mount{server: s, bucket: bucket, options: o, Home: o.Home}
	base := openDir(t)
	m.Dir, m.Log = filepath.Join(base, "mnt"), filepath.Join(base, "log")
	if m.Home == "" {
		m.Home = filepath.Join(base, "home")
	}
	for _, dir := range []string{m.Dir, m.Home, filepath.Join(m.Home, "tmp"), filepath.Join(m.Home, "run")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		o.User.own(t, dir)
	}
	m.bin = m.program(t, base)
	t.Cleanup(func() { m.cleanup(t) })
	return m
}

// program is the path of cgs3fs for the mount's user, who may not be allowed to
// look into the cache of the one who built it.
func (m *Mount) program(t testing.TB, dir string) string {
	t.Helper()
	bin, err := Program()
	if err != nil {
		t.Fatal(err)
	}
	if m.options.User == nil {
		return bin
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	reachable := filepath.Join(dir, "cgs3fs")
	if err := os.WriteFile(reachable, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return reachable
}

// Start mounts, also again after Unmount or Kill, and returns when the kernel
// has the mount.
func (m *Mount) Start(t testing.TB) {
	t.Helper()
	if err := m.start(); err != nil {
		t.Fatalf("mounting: %v", err)
	}
}

func (m *Mount) start() error {
	log, err := os.OpenFile(m.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	args := append(append([]string{}, m.options.Launcher...), m.bin, "mount", "--foreground")
	args = append(args, m.options.Flags...)
	args = append(args, "s3://"+m.bucket, m.Dir)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = m.Env()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: m.options.User.credential()}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	m.cmd, m.exited = cmd, exited
	return m.awaitMount(exited, before)
}

// awaitMount waits until the process has said that it mounted: the kernel has
// the mount a little earlier, but a process that is killed while go-fuse still
// tries its own mount out never ends, for it waits for itself.
func (m *Mount) awaitMount(exited <-chan struct{}, logFrom int64) error {
	deadline := time.After(patience)
	for !m.welcomed(logFrom) {
		select {
		case <-exited:
			return fmt.Errorf("cgs3fs ended: %s\n%s", m.cmd.ProcessState, m.tail())
		case <-deadline:
			return fmt.Errorf("no mount after %v\n%s", patience, m.tail())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// Env is the environment of the mount's process, and what other commands of
// the program need to find the same bucket and the same files.
func (m *Mount) Env() []string {
	endpoint := m.options.Endpoint
	if endpoint == "" {
		endpoint = m.server.Endpoint
	}
	return append(Env(m.Home,
		"AWS_ACCESS_KEY_ID="+m.server.AccessKey,
		"AWS_SECRET_ACCESS_KEY="+m.server.SecretKey,
		"AWS_REGION="+Region,
		"AWS_ENDPOINT_URL="+endpoint,
	), m.options.Env...)
}

// Env is an environment in which the program finds nothing of the machine's
// owner: no home, no credentials, no Cloud Foundry.
func Env(home string, more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + home,
		"TMPDIR=" + filepath.Join(home, "tmp"),
		"XDG_RUNTIME_DIR=" + filepath.Join(home, "run"),
		"XDG_CACHE_HOME=" + filepath.Join(home, ".cache"),
		"XDG_STATE_HOME=" + filepath.Join(home, ".local", "state"),
		"XDG_CONFIG_HOME=" + filepath.Join(home, ".config"),
		"XDG_DATA_HOME=" + filepath.Join(home, ".local", "share"),
		"AWS_EC2_METADATA_DISABLED=true",
		"TZ=UTC",
		"LANG=C.UTF-8",
		"GORACE=halt_on_error=1",
	}, more...)
}

// Path returns the path of something in the mount.
func (m *Mount) Path(elem ...string) string {
	return filepath.Join(append([]string{m.Dir}, elem...)...)
}

// PID of the process, 0 when it does not run.
func (m *Mount) PID() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return 0
	}
	return m.cmd.Process.Pid
}

// Run runs a command of the program, such as "status", with the mount's
// environment and user.
func (m *Mount) Run(ctx context.Context, args ...string) Result { return Run(m.Command(ctx, args...)) }

// Command is what Run runs.
func (m *Mount) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, m.bin, args...)
	cmd.Env = m.Env()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: m.options.User.credential()}
	return cmd
}

// Result is how a program ended.
type Result struct {
	Status         int // exit status; -1 if a signal ended it, or it did not start
	Stdout, Stderr string
}

// Run runs a command to its end.
func Run(cmd *exec.Cmd) Result {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return Result{Status: -1, Stderr: err.Error()}
	}
	return Result{Status: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
}

// Unmount unmounts as a user does and waits for the process; it must end well.
func (m *Mount) Unmount(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if r := m.Run(ctx, "umount", m.Dir); r.Status != 0 {
		t.Fatalf("cgs3fs umount: exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if status := m.Wait(t); status != 0 {
		t.Errorf("the mount's process ended with status %d after umount\n%s", status, m.tail())
	}
}

// Remount unmounts and mounts again: all that was only remembered is gone.
func (m *Mount) Remount(t testing.TB) {
	t.Helper()
	m.Unmount(t)
	m.Start(t)
}

// Wait waits until the process has ended and returns its exit status.
func (m *Mount) Wait(t testing.TB) int {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		t.Fatal("the mount does not run")
	}
	select {
	case <-m.exited:
	case <-time.After(patience):
		t.Fatalf("the mount's process did not end in %v\n%s", patience, m.tail())
	}
	status := m.cmd.ProcessState.ExitCode()
	m.cmd = nil
	return status
}

// Signal sends the process a signal.
func (m *Mount) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		t.Fatal("the mount does not run")
	}
	if err := m.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the process at once, as a crash would, and clears the dead mount
// away.
func (m *Mount) Kill(t testing.TB) {
	t.Helper()
	m.Signal(t, syscall.SIGKILL)
	m.Wait(t)
	m.detach(t)
}

// detach takes the mount off the tree, also if programs still use it.
func (m *Mount) detach(t testing.TB) {
	t.Helper()
	if !Mounted(m.Dir) {
		return
	}
	tool := []string{"umount", "-l", m.Dir}
	if os.Getuid() != 0 {
		tool = []string{"fusermount3", "-u", "-z", m.Dir}
	}
	if out, err := exec.Command(tool[0], tool[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", strings.Join(tool, " "), err, out)
	}
}

// Mounted reports whether dir is a mountpoint, without touching what is mounted.
func Mounted(dir string) bool {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	return bytes.Contains(table, []byte(" "+dir+" "))
}

// welcomed reports whether the log, from an offset on, says that the bucket is
// mounted.
func (m *Mount) welcomed(logFrom int64) bool {
	log, err := os.ReadFile(m.Log)
	return err == nil && int64(len(log)) > logFrom && bytes.Contains(log[logFrom:], []byte(" is mounted at "))
}

// PeakRSS is the largest amount of memory, in bytes, that the process has had
// in use since it started or since the last ResetPeak.
func (m *Mount) PeakRSS(t testing.TB) int64 {
	t.Helper()
	n, err := PeakRSS(m.PID())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// PeakRSS reads a process's VmHWM.
func PeakRSS(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmHWM in /proc/PID/status")
}

// tail is the end of what the process printed.
func (m *Mount) tail() string {
	log, err := os.ReadFile(m.Log)
	if err != nil {
		return err.Error()
	}
	const enough = 8 << 10
	if len(log) > enough {
		log = append([]byte("…"), log[len(log)-enough:]...)
	}
	return string(log)
}

// openDir is a temporary directory that other users may pass through, unlike
// t.TempDir.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cgs3fs-mount-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Never reach into a mount that could not be taken down.
		if Mounted(filepath.Join(dir, "mnt")) {
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
