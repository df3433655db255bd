package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// launch says how a program is started so that it mounts bucket at dir and
// stays in the foreground. state is an empty directory for what it keeps.
type launch func(b *bench, bucket, dir, state string) (*exec.Cmd, error)

// programs are measured with the fastest settings that their own documentation
// calls sensible; cgs3fs with none at all.
var programs = map[string]launch{
	"cgs3fs": func(b *bench, bucket, dir, state string) (*exec.Cmd, error) {
		bin, err := harness.Program()
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(bin, "mount", "--foreground", "--endpoint-url", b.endpoint, "--region", harness.Region, "s3://"+bucket, dir)
		cmd.Env = harness.Env(state, b.credentials()...)
		return cmd, nil
	},
	// The docs of rclone mount: full caching, parallel chunked reading, and no
	// HEAD for each file's time of modification.
	"rclone": func(b *bench, bucket, dir, state string) (*exec.Cmd, error) {
		bin, err := harness.Rclone()
		if err != nil {
			return nil, err
		}
		remote := fmt.Sprintf(":s3,provider=Other,env_auth=true,region=%s,endpoint='%s':%s", harness.Region, b.endpoint, bucket)
		cmd := exec.Command(bin, "mount", remote, dir, "--config", "/dev/null", "--cache-dir", filepath.Join(state, "cache"),
			"--vfs-cache-mode", "full", "--vfs-read-chunk-streams", "16", "--vfs-read-chunk-size", "4M",
			"--use-server-modtime", "--vfs-fast-fingerprint", "--vfs-write-back", "100ms", "--transfers", "16")
		cmd.Env = harness.Env(state, b.credentials()...)
		return cmd, nil
	},
	// s3fs(1) and its wiki on performance: more requests at once, larger caches.
	"s3fs": func(b *bench, bucket, dir, state string) (*exec.Cmd, error) {
		cmd := exec.Command("s3fs", bucket, dir, "-f", "-o", "url="+b.endpoint, "-o", "use_path_request_style",
			"-o", "endpoint="+harness.Region, "-o", "parallel_count=16", "-o", "multipart_size=16", "-o", "multireq_max=64",
			"-o", "max_stat_cache_size=200000", "-o", "enable_noobj_cache", "-o", "tmpdir="+state)
		cmd.Env = harness.Env(state, b.credentials()...)
		return cmd, nil
	},
}

// mounted is a bucket mounted by one of the programs.
type mounted struct {
	dir    string
	base   string
	cmd    *exec.Cmd
	exited chan error
	log    *os.File
}

// patience is how long a program may take to mount, to unmount, and to have
// everything in S3.
const patience = 5 * time.Minute

func (b *bench) mount(ctx context.Context, program string) (*mounted, error) {
	base, err := os.MkdirTemp(b.set.dir, "cgs3fs-bench-")
	if err != nil {
		return nil, err
	}
	m := &mounted{dir: filepath.Join(base, "mnt"), base: base, exited: make(chan error, 1)}
	state := filepath.Join(base, "state")
	for _, dir := range []string{m.dir, state, filepath.Join(state, "tmp"), filepath.Join(state, "run")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if m.cmd, err = programs[program](b, b.bucket, m.dir, state); err != nil {
		return nil, err
	}
	if m.log, err = os.Create(filepath.Join(base, "log")); err != nil {
		return nil, err
	}
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	go func() { m.exited <- m.cmd.Wait() }()
	for deadline := time.Now().Add(patience); !harness.Mounted(m.dir); time.Sleep(2 * time.Millisecond) {
		select {
		case err := <-m.exited:
			log, _ := os.ReadFile(m.log.Name())
			return nil, fmt.Errorf("%s did not mount: %w\n%s", program, err, log)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), m.unmount())
		default:
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s did not mount in %v", program, patience)
		}
	}
	return m, nil
}

// unmount takes the mount down and removes what the program kept.
func (m *mounted) unmount() error {
	out, err := exec.Command("fusermount3", "-u", m.dir).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("unmounting: %w: %s", err, out)
		m.cmd.Process.Kill()
	}
	select {
	case <-m.exited:
	case <-time.After(patience):
		m.cmd.Process.Kill()
		<-m.exited
		err = errors.Join(err, errors.New("the program did not end after it was unmounted"))
	}
	if harness.Mounted(m.dir) {
		if out, e := exec.Command("fusermount3", "-u", "-z", m.dir).CombinedOutput(); e != nil {
			return errors.Join(err, fmt.Errorf("unmounting: %w: %s", e, out))
		}
	}
	return errors.Join(err, m.log.Close(), os.RemoveAll(m.base))
}
