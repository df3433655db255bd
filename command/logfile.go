package command

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"
)

func logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-file", Category: categoryLog, Usage: "write the log to `PATH`"},
		&cli.StringFlag{Name: "log-level", Category: categoryLog, Usage: "error, warn, info or debug", Value: "info"},
		&cli.StringFlag{Name: "log-format", Category: categoryLog, Usage: "text or json", Value: "text"},
	}
}

const categoryLog = "Log:"

// newLogger logs to w as the flags say.
func newLogger(c *cli.Context, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return nil, usagef("--log-level %q", c.String("log-level")).try("error, warn, info or debug")
	}
	o := &slog.HandlerOptions{Level: level}
	switch strings.ToLower(c.String("log-format")) {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, usagef("--log-format %q", c.String("log-format")).try("text or json")
}

// logSize is when a log file starts anew. The one before it is kept as .1.
const logSize = 16 << 20

// logFile is a file that does not grow without bound. It is safe for
// concurrent use.
type logFile struct {
	path string
	mu   sync.Mutex
	f    *os.File // guarded by mu
	size int64    // guarded by mu
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.f, l.size = f, st.Size()
	return nil
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(p)) > logSize && l.size > 0 {
		if err := os.Rename(l.path, l.path+".1"); err == nil {
			l.f.Close()
			if err := l.open(); err != nil {
				return 0, err
			}
		}
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	return n, err
}

// logSink is where the log goes: to the caller's standard error, and after
// detach to the log file, if there is one.
type logSink struct {
	w     io.Writer
	later io.Writer
}

func (s *logSink) Write(p []byte) (int, error) { return s.w.Write(p) }

// detach ends the time in which the terminal may be written to.
func (s *logSink) detach() {
	if s.later != nil {
		s.w = s.later
	}
}

// chooseLog opens the log file. A mount in the background always has one.
func (p *mountPlan) chooseLog(c *cli.Context, sink *logSink) error {
	path := c.String("log-file")
	if path == "" && !isDaemon() {
		return nil
	}
	if path == "" {
		state, err := stateDir()
		if err != nil {
			return err
		}
		dir, err := privateDir(state, "log")
		if err != nil {
			return err
		}
		path = filepath.Join(dir, "mount.log")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := trusted(abs); err != nil {
		return err
	}
	f, err := openLog(abs)
	if err != nil {
		return fail(exitFailed, "%w", err)
	}
	sink.later = f
	return nil
}
