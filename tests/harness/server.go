package harness

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Region is the server's region.
const Region = "us-gov-west-1"

// Server is a running versitygw with a [Proxy] in front of it.
type Server struct {
	Endpoint  string // the proxy's URL; it outlives Kill and Restart
	AccessKey string
	SecretKey string
	Root      string // the server's directory: a bucket is a directory below it
	Proxy     *Proxy

	dir    string // holds everything; removed by Stop
	socket string
	cfg    Config

	mu     sync.Mutex
	cmd    *exec.Cmd     // guarded by mu; nil while the server is down
	exited chan struct{} // guarded by mu; closed when cmd has ended

	secrets []string // guarded by mu; every SecretKey that the server was started with
}

// Config of a [Server]. The zero value serves plain HTTP from the system's
// temporary directory.
type Config struct {
	Dir     string   // under which the server's directory is made; "" is os.TempDir
	Address string   // a host:port to listen on besides, without the proxy
	Flags   []string // more flags of versitygw itself

	// Sidecar keeps metadata in files instead of in extended attributes, where
	// ext4 has room for 4 KiB: too little for an object of hundreds of parts.
	Sidecar bool
}

// NewServer starts a server that lives as long as the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	return NewServerWith(t, Config{})
}

// NewDirectServer is NewServer for tests that map files of a mount into memory:
// Endpoint is the server itself. A test whose page fault waits for the mount
// can't be stopped by Go's garbage collector, and so stops the proxy, which
// lives in the same process and which the mount would wait for.
func NewDirectServer(t testing.TB) *Server {
	t.Helper()
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s := NewServerWith(t, Config{Address: address})
	s.Endpoint = "http://" + address
	return s
}

// FreeAddress is a host:port of loopback that nobody listens on. The port is none of
// those that the kernel gives to whoever asks for any, tests and connections by the
// hundred: one of them could get it before the caller does.
func FreeAddress() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+mathrand.IntN(20_000)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("no port of a hundred is free")
}

// NewServerWith is NewServer with everything to choose.
func NewServerWith(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Start builds versitygw if need be, starts it, and returns when it answers.
func Start(cfg Config) (*Server, error) {
	dir, err := os.MkdirTemp(cfg.Dir, "cgs3fs-s3-")
	if err != nil {
		return nil, fmt.Errorf("making the server's directory: %w", err)
	}
	s := &Server{
		AccessKey: "AKIA" + token(8), SecretKey: "secret-" + token(16),
		Root: filepath.Join(dir, "data"), dir: dir, socket: filepath.Join(dir, "s3.sock"), cfg: cfg,
	}
	for _, dir := range []string{s.Root, filepath.Join(dir, "sidecar")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, errors.Join(err, os.RemoveAll(s.dir))
		}
	}
	s.Proxy, err = newProxy(s.socket)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.Endpoint = "http://" + s.Proxy.Addr()
	if err := s.Restart(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Restart starts the server again after Kill; its data is as it was.
func (s *Server) Restart() error {
	bin, err := Versitygw()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return errors.New("the server is running")
	}
	if !slices.Contains(s.secrets, s.SecretKey) {
		s.secrets = append(s.secrets, s.SecretKey)
	}
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	args := []string{"--port", s.socket, "--region", Region, "--keep-alive", "--quiet"}
	if s.cfg.Address != "" {
		args = append(args, "--port", s.cfg.Address)
	}
	args = append(append(args, s.cfg.Flags...), "posix")
	if s.cfg.Sidecar {
		args = append(args, "--sidecar", filepath.Join(s.dir, "sidecar"))
	}
	args = append(args, s.Root)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	cmd.Stdout, cmd.Stderr = log, log
	// A test binary that is killed takes its server with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting versitygw: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited
	return s.awaitAnswer(exited)
}

// awaitAnswer returns when the server answers any request at all.
func (s *Server) awaitAnswer(exited <-chan struct{}) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket)
		},
	}}
	deadline := time.Now().Add(30 * time.Second)
	for {
		resp, err := client.Get("http://versitygw/")
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-exited:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("versitygw ended at once:\n%s", log)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("versitygw does not answer: %w", err)
		}
	}
}

// Kill ends the server's process at once, as a crash would. The proxy then
// answers nothing and closes connections.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// Signal sends the server's process a signal: SIGSTOP makes it hang, SIGCONT
// go on.
func (s *Server) Signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		s.cmd.Process.Signal(sig)
	}
}

// Secrets are the secret keys that the server has, and had before it was started
// again with another one.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.secrets)
}

// PID of the server's process, 0 while it is down.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Stop ends the server and the proxy and removes all data.
func (s *Server) Stop() error {
	s.Kill()
	return errors.Join(s.Proxy.close(), os.RemoveAll(s.dir))
}

// token returns n random bytes in hexadecimal.
func token(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
