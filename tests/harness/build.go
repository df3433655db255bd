package harness

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// Program builds cgs3fs from the checkout this module stands in and returns
// the binary's path. CGS3FS_RACE=1 builds it with the race detector;
// CGS3FS_PROGRAM names one that is built already.
func Program() (string, error) { return program() }

var program = sync.OnceValues(func() (string, error) {
	if built := os.Getenv("CGS3FS_PROGRAM"); built != "" {
		return filepath.Abs(built)
	}
	root := filepath.Dir(moduleDir())
	if os.Getenv("CGS3FS_RACE") != "" {
		return goBuild(root, "cgs3fs-race", ".", "-race")
	}
	return goBuild(root, "cgs3fs", ".")
})

// Versitygw builds the S3 server, at the version of go.mod, and returns the
// binary's path.
func Versitygw() (string, error) { return versitygw() }

var versitygw = sync.OnceValues(func() (string, error) {
	const pkg = "github.com/versity/versitygw/cmd/versitygw"
	sums, err := os.ReadFile(filepath.Join(moduleDir(), "go.sum"))
	if err != nil {
		return "", fmt.Errorf("finding the version of versitygw: %w", err)
	}
	return keep("versitygw", string(sums), func(dir string) *exec.Cmd {
		return command(moduleDir(), "go", "build", "-buildvcs=false", "-o", dir, pkg)
	})
})

// Rclone builds the rclone that the benchmark compares with.
func Rclone() (string, error) { return rclone() }

var rclone = sync.OnceValues(func() (string, error) {
	const pkg = "github.com/rclone/rclone@v1.76.0" // checked against the checksum database
	return keep("rclone", pkg, func(dir string) *exec.Cmd {
		cmd := command(dir, "go", "install", pkg)
		cmd.Env = append(os.Environ(), "GOBIN="+dir)
		return cmd
	})
})

// goBuild builds pkg in dir, anew each time: with Go's build cache that is quick.
func goBuild(dir, name, pkg string, flags ...string) (string, error) {
	bin, err := binDir(dir)
	if err != nil {
		return "", err
	}
	return build(bin, name, func(tmp string) *exec.Cmd {
		args := append([]string{"build", "-buildvcs=false", "-o", filepath.Join(tmp, name)}, flags...)
		return command(dir, "go", append(args, pkg)...)
	})
}

// keep builds a program of which source says all there is to know, and only if
// that was not done before.
func keep(name, source string, compile func(dir string) *exec.Cmd) (string, error) {
	bin, err := binDir(source)
	if err != nil {
		return "", err
	}
	path := filepath.Join(bin, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return build(bin, name, compile)
}

// build compiles into a directory of its own and then renames the binary, so
// that test processes running side by side never see half of one.
func build(bin, name string, compile func(dir string) *exec.Cmd) (string, error) {
	tmp, err := os.MkdirTemp(bin, name+"-")
	if err != nil {
		return "", fmt.Errorf("making room for %s: %w", name, err)
	}
	defer os.RemoveAll(tmp)
	if out, err := compile(tmp).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	path := filepath.Join(bin, name)
	if err := os.Rename(filepath.Join(tmp, name), path); err != nil {
		return "", fmt.Errorf("putting %s in place: %w", name, err)
	}
	return path, nil
}

func command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	return cmd
}

// binDir is where built programs are kept: one directory for each source, so
// that two clones never run each other's program. Other users may execute what
// is in it, for some tests run the program unprivileged.
func binDir(source string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for built programs: %w", err)
	}
	sum := sha256.Sum256([]byte(source))
	dir := filepath.Join(cache, "cgs3fs-tests", hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making a place for built programs: %w", err)
	}
	return dir, nil
}

// moduleDir is the directory of the tests module, found from this file.
func moduleDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}
