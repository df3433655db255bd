package cors

import (
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

// desk is a person's machine: a home, a bucket, our program and aws.
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
		"AWS_ENDPOINT_URL="+server.Endpoint, "AWS_PAGER=",
	)
}

// try runs "cgs3fs cors" with args.
func (d *desk) try(args ...string) harness.Result {
	d.Helper()
	bin, err := harness.Program()
	if err != nil {
		d.Fatal(err)
	}
	cmd := exec.Command(bin, append(append([]string{"cors"}, args...), "--bucket", d.Bucket)...)
	cmd.Env = d.env()
	r := harness.Run(cmd)
	if strings.Contains(r.Stdout+r.Stderr, server.SecretKey) {
		d.Errorf("cgs3fs cors %q prints the secret key", args)
	}
	return r
}

// cors is try that must succeed.
func (d *desk) cors(args ...string) harness.Result {
	d.Helper()
	r := d.try(args...)
	if r.Status != 0 {
		d.Fatalf("cgs3fs cors %q: exit status %d\n%s%s", args, r.Status, r.Stdout, r.Stderr)
	}
	return r
}

// aws runs "aws s3api" for the desk's bucket and returns what it prints.
func (d *desk) aws(args ...string) string {
	d.Helper()
	r := d.tryAWS(args...)
	if r.Status != 0 {
		d.Fatalf("aws s3api %q: exit status %d\n%s%s", args, r.Status, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

func (d *desk) tryAWS(args ...string) harness.Result {
	d.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		d.Skip("aws is not installed (Debian's awscli)")
	}
	cmd := exec.Command(path, append(append([]string{"s3api"}, args...), "--bucket", d.Bucket)...)
	cmd.Env = append(d.env(), "PYENV_VERSION="+os.Getenv("PYENV_VERSION"))
	return harness.Run(cmd)
}

// table is cors/testdata/preflights.json: questions with the answers that S3's
// documentation and the Fetch standard give.
func table(t testing.TB) []group {
	t.Helper()
	data, err := os.ReadFile("../../cors/testdata/preflights.json")
	if err != nil {
		t.Fatal(err)
	}
	var groups []group
	if err := json.Unmarshal(data, &groups); err != nil {
		t.Fatal(err)
	}
	return groups
}

type group struct {
	Name  string          `json:"name"`
	Rules json.RawMessage `json:"rules"`
	Cases []struct {
		Origin      string `json:"origin"`
		Method      string `json:"method"`
		Headers     string `json:"headers"`
		Rule        int    `json:"rule"` // -1: refused
		AllowOrigin string `json:"allow_origin"`
		Why         string `json:"why"`
	} `json:"cases"`
}
