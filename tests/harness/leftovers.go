package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	var kept recovered
	if m.options.Unsaved {
		kept = m.recovered(t)
	}
	m.checkUploads(t, kept)
	m.checkStaged(t, kept)
	checkSecrets(t, append(m.logs(), m.Log), m.server.Secrets())
	if t.Failed() {
		t.Logf("the mount's log:\n%s", m.tail())
	}
}

// unsaved is the exit status of umount and of the mount's process where data was
// not saved.
const unsaved = 8

// shutdown unmounts with the program's own command, by force where data may stay
// unsaved; what does not go in patience is killed, with its goroutines in the log.
func (m *Mount) shutdown(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := m.Run(ctx, "umount", m.Dir)
	if m.options.Unsaved && Mounted(m.Dir) {
		r = m.Run(ctx, "umount", "--force", m.Dir)
	}
	if !m.ends(r.Status) && (Mounted(m.Dir) || !m.options.Unsaved) { // the test itself may have unmounted
		t.Errorf("cgs3fs umount: exit status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !Mounted(m.Dir) {
		select {
		case <-m.exited:
			if status := m.cmd.ProcessState.ExitCode(); !m.ends(status) {
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

// ends tells whether a mount may end with the status.
func (m *Mount) ends(status int) bool {
	return status == 0 || m.options.Unsaved && status == unsaved
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

// recovered is what the recovery directory has, with all that goes with it.
type recovered struct {
	files   map[string]bool // paths
	uploads map[string]bool // ids
}

// recovered reads the sidecars of the recovery directory, in the words of the files
// and not of the program. Data that has none is not recovered but left.
func (m *Mount) recovered(t testing.TB) recovered {
	t.Helper()
	kept := recovered{files: map[string]bool{}, uploads: map[string]bool{}}
	dir := filepath.Join(m.state(), "recovery")
	for _, path := range glob(dir, "*.json") {
		var side struct {
			Data   string
			Upload struct{ ID string }
		}
		readJSON(t, path, &side)
		kept.files[path], kept.files[filepath.Join(dir, side.Data)] = true, true
		if side.Upload.ID != "" {
			kept.uploads[side.Upload.ID] = true
		}
	}
	for _, path := range glob(filepath.Join(m.state(), "uploads"), "*.json") {
		var note struct{ ID string }
		readJSON(t, path, &note)
		if kept.uploads[note.ID] {
			kept.files[path] = true
		}
	}
	return kept
}

// glob is the files of a directory that are no links.
func glob(dir, pattern string) []string {
	paths, _ := filepath.Glob(filepath.Join(dir, pattern)) // the only error is one of the pattern
	return slices.DeleteFunc(paths, func(path string) bool {
		info, err := os.Lstat(path)
		return err != nil || !info.Mode().IsRegular()
	})
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Errorf("reading %s: %v", path, err)
	}
}

// checkUploads fails the test if the bucket has an unfinished multipart upload that
// no recovered file needs.
func (m *Mount) checkUploads(t testing.TB, kept recovered) {
	t.Helper()
	if m.server.PID() == 0 {
		return
	}
	bucket, _, _ := strings.Cut(m.bucket, "/")
	pending, err := m.server.Client(bucket).Uploads(context.Background())
	if err != nil {
		t.Errorf("looking for unfinished uploads: %v", err)
	}
	for _, u := range pending {
		if !kept.uploads[*u.UploadId] {
			t.Errorf("an unfinished multipart upload is left: %q", *u.Key)
		}
	}
}

// checkStaged fails the test if bytes that were on their way to the bucket are
// left on disk. Blocks of the disk cache are meant to stay.
func (m *Mount) checkStaged(t testing.TB, kept recovered) {
	t.Helper()
	for _, path := range m.files(t) {
		if info, err := os.Lstat(path); err == nil && info.Size() > 0 && !kept.files[path] {
			t.Errorf("left on disk: %s (%d bytes)", path, info.Size())
		}
	}
}

// files returns the regular files that the process left: staged and recovered data,
// not its cache of blocks, not its logs.
func (m *Mount) files(t testing.TB) []string {
	t.Helper()
	var files []string
	for _, dir := range append(m.flag("--stage-dir"), m.state(), m.Home) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
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
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// state is where the process keeps what must outlive it.
func (m *Mount) state() string {
	dir := ""
	for _, v := range m.Env() {
		if value, ok := strings.CutPrefix(v, "XDG_STATE_HOME="); ok {
			dir = value
		}
	}
	return filepath.Join(dir, "cgs3fs")
}

// flag returns the values that the mount was given for a flag.
func (m *Mount) flag(name string) (values []string) {
	flags := m.options.Flags
	for i, f := range flags[:max(0, len(flags)-1)] {
		if f == name {
			values = append(values, flags[i+1])
		}
	}
	return values
}

// logs are the log files of the process, and of those of its user in the background.
func (m *Mount) logs() []string {
	return append(m.flag("--log-file"), glob(filepath.Join(m.state(), "log"), "*")...)
}

// CheckLogs fails the test if a log file of mounts in the background, below a home as
// [Env] has it, holds a secret that the server has or had.
func (s *Server) CheckLogs(t testing.TB, home string) {
	t.Helper()
	checkSecrets(t, glob(filepath.Join(home, ".local", "state", "cgs3fs", "log"), "*"), s.Secrets())
}

func checkSecrets(t testing.TB, logs, secrets []string) {
	t.Helper()
	for _, path := range logs {
		log, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		for _, secret := range secrets {
			if bytes.Contains(log, []byte(secret)) {
				t.Errorf("the log %s holds a secret key", path)
			}
		}
	}
}
