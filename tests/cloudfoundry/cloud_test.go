package cloudfoundry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/creds/capi/capitest"
	"github.com/cgs3fs/cgs3fs/tests/harness"
)

const user = "dev@example.gov"

// cloud is a foundation whose broker makes accounts of a real S3 server.
type cloud struct {
	*capitest.Foundation
	t      testing.TB
	server *harness.Server
	bucket *harness.Client
	home   string
	login  string // the directory that CF_HOME names
	space  string
	secret string // begins the secret of every key
}

func newCloud(t testing.TB) *cloud {
	t.Helper()
	server, err := harness.Start(harness.Config{Flags: []string{"--iam-dir", t.TempDir(), "--iam-cache-disable"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &cloud{
		Foundation: capitest.New(t), t: t, server: server, bucket: server.Bucket(t),
		home: t.TempDir(), login: t.TempDir(), secret: "s3cret/" + rand.Text(),
	}
	c.space = c.AddSpace("gsa", "dev", user+"=developer")
	c.AddOffering("s3", []string{"AWS", "S3"}, "basic")
	c.Login(t, c.login, user, c.space)
	c.JobPolls = 0
	c.Broker = func(_, key string, _ map[string]any) (map[string]any, error) { return c.account(key) }
	c.Unbind = func(credentials map[string]any) {
		if err := c.admin("delete-user", "-a", credentials["access_key_id"].(string)); err != nil {
			t.Error(err)
		}
	}
	return c
}

// account makes an account of the server for a key.
func (c *cloud) account(key string) (map[string]any, error) {
	id := "AKIA" + strings.ToUpper(strings.ReplaceAll(key, "-", ""))
	secret := c.secret + id
	err := c.admin("create-user", "-a", id, "-s", secret, "-r", "admin")
	return map[string]any{
		"access_key_id": id, "secret_access_key": secret, "bucket": c.bucket.Bucket, "region": harness.Region,
		"endpoint": c.server.Endpoint, "fips_endpoint": "", "insecure_skip_verify": false, "additional_buckets": []string{},
	}, err
}

func (c *cloud) admin(args ...string) error {
	bin, err := harness.Versitygw()
	if err != nil {
		return err
	}
	all := append([]string{"admin", "-a", c.server.AccessKey, "-s", c.server.SecretKey, "-er", c.server.Endpoint, "--region", harness.Region}, args...)
	if out, err := exec.Command(bin, all...).CombinedOutput(); err != nil {
		return fmt.Errorf("versitygw admin %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// service makes an S3 service with a key.
func (c *cloud) service(name, key string) (instance, keyGUID string) {
	c.t.Helper()
	instance = c.AddInstance(c.space, name, "s3/basic")
	if key == "" {
		return instance, ""
	}
	return instance, c.key(instance, key)
}

func (c *cloud) key(instance, key string) string {
	c.t.Helper()
	credentials, err := c.account(key)
	if err != nil {
		c.t.Fatal(err)
	}
	guid := c.AddKey(instance, key, "succeeded")
	c.SetCredentials(guid, credentials)
	return guid
}

// mount mounts through the foundation; nothing else may help.
func (c *cloud) mount(flags ...string) *harness.Mount {
	c.t.Helper()
	return c.server.MountWith(c.t, c.bucket.Bucket, harness.MountOptions{Flags: flags, Home: c.home, Env: c.env()})
}

func (c *cloud) env() []string {
	return []string{"CF_HOME=" + c.login, "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_ENDPOINT_URL=", "AWS_REGION="}
}

// run runs a command of the program in the user's home.
func (c *cloud) run(args ...string) harness.Result { return c.runWith("", args...) }

// runWith is run with something on standard input.
func (c *cloud) runWith(stdin string, args ...string) harness.Result {
	c.t.Helper()
	bin, err := harness.Program()
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = append(harness.Env(c.home), c.env()...)
	cmd.Stdin = strings.NewReader(stdin)
	return harness.Run(cmd)
}

// noSecret looks for the keys' secret in everything that a process shows or
// leaves behind.
func (c *cloud) noSecret(m *harness.Mount, outputs ...string) {
	c.t.Helper()
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", m.PID()))
	if err != nil {
		c.t.Error(err)
	}
	log, err := os.ReadFile(m.Log)
	if err != nil {
		c.t.Error(err)
	}
	for _, text := range append(outputs, string(cmdline), string(log)) {
		if strings.Contains(text, c.secret) {
			c.t.Errorf("a secret is shown:\n%s", text)
		}
	}
	err = filepath.WalkDir(c.home, func(path string, d os.DirEntry, err error) error {
		var text []byte
		if err == nil && d.Type().IsRegular() {
			text, err = os.ReadFile(path)
		}
		if strings.Contains(string(text), c.secret) {
			c.t.Errorf("%s holds a secret", path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the mount is at work
		}
		return err
	})
	if err != nil {
		c.t.Error(err)
	}
}
