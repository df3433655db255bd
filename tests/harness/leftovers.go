package harness

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cleanup takes the mount down if the test has not, and looks for what must
// not be left.
func (m *Mount) cleanup(t testing.TB) {
	t.Helper()
	if m.PID() != 0 {
		m.shutdown(t)
	} else if Mounted(m.Dir) {
		m.shutdownBackground(t)
	}
	m.detach(t)
	if !m.options.Unsaved {
		m.checkUploads(t)
		m.checkStaged(t)
	}
	m.checkSecrets(t)
	if t.Failed() {
		t.Logf("the mount's log:\n%s", m.tail())
	}
}

// shutdown unmounts with the program's own command; what does not go in
// patience is killed, with its goroutines in the log.
func (m *Mount) shutdown(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := m.Run(ctx, "umount", m.Dir)
	if r.Status != 0 && !m.options.Unsaved {
		t.Errorf("cgs3fs umount: exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Status == 0 {
		select {
		case <-m.exited:
			if status := m.cmd.ProcessState.ExitCode(); status != 0 && !m.options.Unsaved {
				t.Errorf("the mount's process ended with status %d", status)
			}
			m.cmd = nil
			return
		case <-time.After(patience):
			t.Errorf("the mount's process did not end in %v", patience)
		}
	}
	m.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-m.exited:
	case <-time.After(5 * time.Second):
		m.cmd.Process.Kill()
		<-m.exited
	}
	m.cmd = nil
}

// shutdownBackground unmounts what a test mounted without the harness and did
// not unmount, most likely because it failed before.
func (m *Mount) shutdownBackground(t testing.TB) {
	t.Helper()
	if !t.Failed() && !m.options.Unsaved {
		t.Errorf("%s is still mounted", m.Dir)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if r := m.Run(ctx, "umount", "--force", "--timeout", "5s", m.Dir); r.Status != 0 {
		t.Logf("cgs3fs umount: exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
}

// checkUploads fails the test if the bucket has an unfinished multipart upload.
func (m *Mount) checkUploads(t testing.TB) {
	t.Helper()
	if m.server.PID() == 0 {
		return
	}
	bucket, _, _ := strings.Cut(m.bucket, "/")
	pending, err := m.server.Client(bucket).Pending(context.Background())
	if err != nil {
		t.Errorf("looking for unfinished uploads: %v", err)
	}
	if len(pending) > 0 {
		t.Errorf("unfinished multipart uploads are left: %q", pending)
	}
}

// checkStaged fails the test if bytes that were on their way to the bucket are
// left on disk. Blocks of the disk cache are meant to stay.
func (m *Mount) checkStaged(t testing.TB) {
	t.Helper()
	for _, path := range m.Files(t) {
		if info, err := os.Lstat(path); err == nil && info.Size() > 0 {
			t.Errorf("left on disk: %s (%d bytes)", path, info.Size())
		}
	}
}

// Files returns the regular files that the process left below its home: staged
// and recovered data, not its cache of blocks, not its logs and registrations.
func (m *Mount) Files(t testing.TB) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(m.Home, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.Type().IsRegular() && filepath.Ext(path) != ".log" && !strings.Contains(path, "/blocks/"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

// checkSecrets fails the test if the process printed the secret key.
func (m *Mount) checkSecrets(t testing.TB) {
	t.Helper()
	log, err := os.ReadFile(m.Log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if bytes.Contains(log, []byte(m.server.SecretKey)) {
		t.Errorf("the log %s holds the secret key", m.Log)
	}
}
