package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// server is shared: every test has a bucket of its own.
var server *harness.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = harness.Start(harness.Config{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// desk is a person's machine: a home, a bucket, our program and others.
type desk struct {
	testing.TB
	*harness.Client
	home string
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{TB: t, Client: server.Bucket(t), home: t.TempDir()}
	if err := os.Mkdir(filepath.Join(d.home, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) env() []string {
	return harness.Env(d.home,
		"AWS_ACCESS_KEY_ID="+server.AccessKey, "AWS_SECRET_ACCESS_KEY="+server.SecretKey,
		"AWS_REGION="+harness.Region, "AWS_DEFAULT_REGION="+harness.Region,
		"AWS_ENDPOINT_URL="+server.Endpoint, "AWS_PAGER=", "PYENV_VERSION="+os.Getenv("PYENV_VERSION"),
	)
}

func (d *desk) command(ctx context.Context, args ...string) *exec.Cmd {
	d.Helper()
	bin, err := harness.Program()
	if err != nil {
		d.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, bin, append(append([]string{"snapshot"}, args...), "--bucket", d.Bucket)...)
	cmd.Env = d.env()
	return cmd
}

// snapshot runs "cgs3fs snapshot", which must end with the status.
func (d *desk) snapshot(status int, args ...string) string {
	d.Helper()
	r := harness.Run(d.command(d.Context(), args...))
	if strings.Contains(r.Stdout+r.Stderr, server.SecretKey) {
		d.Errorf("cgs3fs snapshot %q prints the secret key", args)
	}
	if r.Status != status {
		d.Fatalf("cgs3fs snapshot %q: exit status %d, want %d\n%s%s", args, r.Status, status, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// made is what create --json prints.
type made struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Objects int64  `json:"objects"`
	Own     int64  `json:"own_objects"`
	Copies  int64  `json:"copies"`
	Resumed bool   `json:"resumed"`
}

func (d *desk) create(args ...string) made {
	d.Helper()
	var m made
	out := d.snapshot(0, append([]string{"create", "--json", "--progress", "none"}, args...)...)
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		d.Fatalf("%v:\n%s", err, out)
	}
	return m
}

// dated is the prefix of a snapshot's objects.
func (m made) dated() string {
	day, rest := m.ID[:10], m.ID[10:]
	return "data/" + strings.ReplaceAll(day, "-", "/") + rest + "/"
}

// aws runs the aws command line.
func (d *desk) aws(args ...string) string {
	d.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		d.Skip("aws is not installed (Debian's awscli)")
	}
	return d.tool(exec.Command(path, args...))
}

// rclone runs rclone with the remote "s3:".
func (d *desk) rclone(args ...string) string {
	d.Helper()
	bin, err := harness.Rclone()
	if err != nil {
		d.Skipf("no rclone: %v", err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(d.env(), "RCLONE_CONFIG_S3_TYPE=s3", "RCLONE_CONFIG_S3_PROVIDER=Other", "RCLONE_CONFIG_S3_ENV_AUTH=true",
		"RCLONE_CONFIG_S3_ENDPOINT="+server.Endpoint, "RCLONE_CONFIG_S3_REGION="+harness.Region)
	return d.tool(cmd)
}

func (d *desk) tool(cmd *exec.Cmd) string {
	d.Helper()
	if cmd.Env == nil {
		cmd.Env = d.env()
	}
	r := harness.Run(cmd)
	if r.Status != 0 {
		d.Fatalf("%q: exit status %d\n%s%s", cmd.Args, r.Status, r.Stdout, r.Stderr)
	}
	return r.Stdout + r.Stderr
}

// fill puts a tree of objects into the bucket.
func (d *desk) fill() map[string]string {
	d.Helper()
	files := map[string]string{
		"empty": "", "a.txt": "a", "dir/b.txt": "b", "dir/sub/c.txt": strings.Repeat("c", 100_000),
		"ü/😀 x+y%20&.txt": "names", "long/" + strings.Repeat("k/", 490) + "end": "long key",
	}
	for i := range 40 {
		files[fmt.Sprintf("many/%03d", i)] = fmt.Sprint("number ", i)
	}
	for key, data := range files {
		d.Put(d, key, []byte(data))
	}
	return files
}

// tree reads a local directory.
func (d *desk) tree(dir string) map[string]string {
	d.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
	return files
}
