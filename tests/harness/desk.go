package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Main runs a package's tests with one server for all of them, and returns the
// status to exit with.
func Main(m *testing.M, server **Server) int {
	s, err := Start(Config{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*server = s
	status := m.Run()
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// Desk is a person's machine: a home, a bucket, our program and others.
type Desk struct {
	testing.TB
	*Client
	Home string

	server *Server
}

// Desk returns one with a bucket of its own.
func (s *Server) Desk(t testing.TB) *Desk {
	t.Helper()
	d := &Desk{TB: t, Client: s.Bucket(t), Home: t.TempDir(), server: s}
	if err := os.Mkdir(filepath.Join(d.Home, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// Env has the key in the variables that the handbook exports.
func (d *Desk) Env() []string {
	return Env(d.Home,
		"AWS_ACCESS_KEY_ID="+d.server.AccessKey, "AWS_SECRET_ACCESS_KEY="+d.server.SecretKey,
		"AWS_REGION="+Region, "AWS_DEFAULT_REGION="+Region,
		"AWS_ENDPOINT_URL="+d.server.Endpoint, "AWS_PAGER=", "PYENV_VERSION="+os.Getenv("PYENV_VERSION"),
	)
}

// Command is our program, to be run for the desk's bucket.
func (d *Desk) Command(ctx context.Context, args ...string) *exec.Cmd {
	d.Helper()
	bin, err := Program()
	if err != nil {
		d.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, bin, append(args[:len(args):len(args)], "--bucket", d.Bucket)...)
	cmd.Env = d.Env()
	return cmd
}

// Try runs our program, which must not print the secret.
func (d *Desk) Try(args ...string) Result {
	d.Helper()
	r := Run(d.Command(d.TB.Context(), args...))
	if strings.Contains(r.Stdout+r.Stderr, d.server.SecretKey) {
		d.Errorf("cgs3fs %q prints the secret key", args)
	}
	return r
}

// AWS is the aws command line, to be run. The test is skipped without it.
func (d *Desk) AWS(args ...string) *exec.Cmd {
	d.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		d.Skip("aws is not installed (Debian's awscli)")
	}
	cmd := exec.Command(path, args...)
	cmd.Env = d.Env()
	return cmd
}
