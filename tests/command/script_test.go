// Package command tests the command line: what it prints, its exit statuses,
// and that bad input ends in one clear line with nothing left mounted and no
// secret printed. Each testdata file is one script.
package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

func TestScripts(t *testing.T) {
	program, err := harness.Program()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(program, filepath.Join(bin, "cgs3fs")); err != nil {
		t.Fatal(err)
	}
	server := harness.NewServer(t)
	client := server.Bucket(t)
	client.Put(t, "hello", []byte("hello\n"))
	elsewhere := httptest.NewServer(http.HandlerFunc(redirect))
	t.Cleanup(elsewhere.Close)
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			// Some scripts run the program as somebody else, who must get at it.
			for _, dir := range []string{filepath.Dir(env.WorkDir), env.WorkDir} {
				if err := os.Chmod(dir, 0o711); err != nil {
					return err
				}
			}
			home := filepath.Join(env.WorkDir, "home")
			for _, dir := range []string{home, filepath.Join(home, "tmp"), filepath.Join(home, "run")} {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return err
				}
			}
			env.Defer(func() {
				detachBelow(t, env.WorkDir)
				server.CheckLogs(t, home)
			})
			env.Vars = append(harness.Env(home,
				"WORK="+env.WorkDir,
				"ENDPOINT="+server.Endpoint, "BUCKET="+client.Bucket, "REGION="+harness.Region,
				"KEY="+server.AccessKey, "SECRET="+server.SecretKey,
				"CLOSED="+closedPort(t), "ELSEWHERE="+elsewhere.URL,
				"AWS_ACCESS_KEY_ID="+server.AccessKey, "AWS_SECRET_ACCESS_KEY="+server.SecretKey,
				"AWS_REGION="+harness.Region, "AWS_ENDPOINT_URL="+server.Endpoint, "BUCKET_NAME="+client.Bucket,
			), "PATH="+bin+":"+os.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ends":    ends,
			"refused": refused,
			"secret":  secret,

			"jsonkeys": jsonKeys,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Getuid() == 0, nil
			case "unshare":
				return exec.Command("unshare", "--mount", "true").Run() == nil, nil
			}
			return false, errors.New("no such condition")
		},
	})
}

// unescape undoes what mountinfo does to names.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// detachBelow takes down what a script that failed left mounted.
func detachBelow(t testing.TB, dir string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(table)) {
		if at := unescape.Replace(strings.Fields(line)[4]); strings.HasPrefix(at, dir+"/") {
			if out, err := exec.Command("fusermount3", "-u", "-z", at).CombinedOutput(); err != nil {
				t.Errorf("unmounting %s: %v: %s", at, err, out)
			}
		}
	}
}

// ends runs a program and checks its exit status: ends 4 cgs3fs env.
func ends(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: ends STATUS PROGRAM ARGUMENT...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if strings.Contains(ts.ReadFile(stream), ts.Getenv("SECRET")) && args[2] != "env" {
			ts.Fatalf("%s holds the secret key", stream)
		}
	}
}

// complaint is what an error looks like: one line, and perhaps a hint.
var complaint = regexp.MustCompile(`\Acgs3fs: ([^A-Z\n]|[A-Z]{2})[^\n]*\n(  [^\n]+\n)?\z`)

// refused is ends, and nothing on standard output, one clear line on standard
// error, nothing left mounted, nothing left of a directory that was made.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	ends(ts, neg, args)
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("it printed to standard output:\n%s", out)
	}
	if text := ts.ReadFile("stderr"); !complaint.MatchString(text) {
		ts.Fatalf("this is not one clear line and perhaps a hint:\n%s", text)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	ts.Check(err)
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, ts.Getenv("WORK")) && strings.Contains(line, "fuse") {
			ts.Fatalf("left mounted: %s", line)
		}
	}
	if _, err := os.Lstat(ts.MkAbs("missing")); err == nil {
		ts.Fatalf("the directory that was made for the mount is still there")
	}
}

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// jsonKeys checks the keys of the JSON on standard output.
func jsonKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: jsonkeys")
	}
	var out any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &out))
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, each := range v {
				walk(each)
			}
		case map[string]any:
			for key, each := range v {
				if !snakeCase.MatchString(key) {
					ts.Fatalf("%q is no name by the convention", key)
				}
				if key != "requests" { // by S3's names of them
					walk(each)
				}
			}
		}
	}
	walk(out)
}

// secret is a file with credentials of this server in it: secret FILE, with
// $KEY and the like in FILE expanded.
func secret(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

// redirect is a server that has the bucket in another region and does not say which.
func redirect(w http.ResponseWriter, r *http.Request) {
	resp := harness.Answer(r, http.StatusMovedPermanently, "PermanentRedirect")
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}

// closedPort is an address where nobody listens, and nobody can as long as the
// test runs: it is taken.
func closedPort(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	address, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", address.(*syscall.SockaddrInet4).Port)
}
