package capi

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// cfTime bounds a run of cf, which asks the network.
const cfTime = 30 * time.Second

// runCF returns a function that runs "cf oauth-token" with the cf that PATH
// names. Its errors are not shown to the user: what it could not do is tried
// again without it.
func runCF(cfg Config) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		path := findProgram("cf", cfg.Getenv("PATH"))
		if path == "" {
			return "", exec.ErrNotFound
		}
		ctx, cancel := context.WithTimeout(ctx, cfTime)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, "oauth-token")
		// A trace would come before the token, with secrets in it.
		cmd.Env = append(os.Environ(), "CF_TRACE=false", "CF_COLOR=false", "LC_ALL=C",
			"CF_HOME="+filepath.Dir(filepath.Dir(configPath(cfg.Getenv, cfg.HomeDir))))
		cmd.WaitDelay = time.Second
		out, err := cmd.Output()
		if err != nil {
			return "", err
		}
		for line := range bytes.Lines(out) {
			if text := strings.TrimSpace(string(line)); strings.HasPrefix(strings.ToLower(text), "bearer ") {
				return text, nil
			}
		}
		return "", errors.New("cf oauth-token printed no token")
	}
}

// findProgram is exec.LookPath with a given PATH.
func findProgram(name, path string) string {
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // never run what lies in the current directory
		}
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return file
		}
	}
	return ""
}
