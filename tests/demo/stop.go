package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pidFileOf is where the demo of a directory leaves its process id. The user's
// cache directory is nobody else's to write to.
func pidFileOf(dir string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	h := fnv.New64a()
	h.Write([]byte(dir))
	name := filepath.Join(cache, "cgs3fs-tests", fmt.Sprintf("demo-%x.pid", h.Sum64()))
	return name, os.MkdirAll(filepath.Dir(name), 0o755)
}

// stopRunning ends the demo of a directory and waits until it is gone.
func stopRunning(dir string) error {
	name, err := pidFileOf(dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		fmt.Println("no demo runs")
		return nil
	} else if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	// After a crash the number may be somebody else's by now.
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || !strings.HasPrefix(filepath.Base(exe), "demo") {
		return os.Remove(name)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	return fmt.Errorf("the demo (process %d) did not end within a minute", pid)
}
