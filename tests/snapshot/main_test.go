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

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &server)) }

// desk is a person's machine that makes snapshots of a bucket.
type desk struct{ *harness.Desk }

func newDesk(t testing.TB) *desk {
	t.Helper()
	return &desk{server.Desk(t)}
}

func (d *desk) command(ctx context.Context, args ...string) *exec.Cmd {
	d.Helper()
	return d.Command(ctx, append([]string{"snapshot"}, args...)...)
}

// snapshot runs "cgs3fs snapshot", which must end with the status.
func (d *desk) snapshot(status int, args ...string) string {
	d.Helper()
	r := d.Try(append([]string{"snapshot"}, args...)...)
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
	return d.tool(d.AWS(args...))
}

// rclone runs rclone with the remote "s3:".
func (d *desk) rclone(args ...string) string {
	d.Helper()
	bin, err := harness.Rclone()
	if err != nil {
		d.Skipf("no rclone: %v", err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(d.Env(), "RCLONE_CONFIG_S3_TYPE=s3", "RCLONE_CONFIG_S3_PROVIDER=Other", "RCLONE_CONFIG_S3_ENV_AUTH=true",
		"RCLONE_CONFIG_S3_ENDPOINT="+server.Endpoint, "RCLONE_CONFIG_S3_REGION="+harness.Region)
	return d.tool(cmd)
}

func (d *desk) tool(cmd *exec.Cmd) string {
	d.Helper()
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
