package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A mount in the background is the same program once more, in a session of its
// own. It does all the checks itself, with the caller's standard input and
// error, so that what fails is said where the user looks; then it writes one
// line to a pipe and lets go of the terminal. The first process waits for that
// line, prints it, and ends.
const daemonEnv = "CGS3FS_DAEMON_PIPE"

// isDaemon reports whether this process is the one in the background.
func isDaemon() bool { return os.Getenv(daemonEnv) != "" }

// background runs the program again and waits until it mounted or failed. The
// status is the child's.
func background(stdout io.Writer) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	ready, child, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close()
	cmd := exec.Command(self)
	cmd.Args = os.Args // also the name, which may be mount.cgs3fs
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	cmd.ExtraFiles = []*os.File{child} // descriptor 3
	cmd.Env = append(os.Environ(), daemonEnv+"=3")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		child.Close()
		return 0, err
	}
	child.Close()
	stop := forwardSignals(cmd.Process)
	defer stop()
	line, err := bufio.NewReader(ready).ReadString('\n')
	if err == nil {
		fmt.Fprint(stdout, strings.ReplaceAll(line, "\x00", "\n"))
		return exitOK, cmd.Process.Release()
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), exitFailed), nil
	}
	return exitFailed, err
}

// forwardSignals hands this process's signals on to the child, which is in
// another session and so does not get the terminal's.
func forwardSignals(to *os.Process) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				_ = to.Signal(s) // it has ended: then its status says so
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

// detachFromTerminal tells the waiting process that the mount answers, and
// gives up the caller's terminal and directory. text may have several lines.
func detachFromTerminal(text string) error {
	pipe := os.NewFile(3, "ready")
	defer pipe.Close()
	if _, err := fmt.Fprintln(pipe, strings.ReplaceAll(text, "\n", "\x00")); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := dup(int(null.Fd()), fd); err != nil {
			return err
		}
	}
	return os.Chdir("/")
}

// guardSecrets keeps the credentials in this process's memory out of core
// dumps and from other processes of the user.
func guardSecrets() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	forbidDump()
}
