// Command demo shows cgs3fs at work on this machine alone: it starts a real S3
// server on loopback, hands its credentials over the way Cloud Foundry does,
// in VCAP_SERVICES, mounts the bucket, and works with files in it. The mount
// stays until Ctrl-C or demo -stop, and then all of it goes without a trace.
//
// Usage: go run ./demo [-check] DIR, or go run ./demo -stop DIR
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

func main() {
	check := flag.Bool("check", false, "end after the show; the exit status says whether all was as it should be")
	stopOther := flag.Bool("stop", false, "end a demo that runs")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: demo [-check|-stop] DIR")
		os.Exit(2)
	}
	dir, err := filepath.Abs(flag.Arg(0))
	if err == nil && *stopOther {
		err = stopRunning(dir)
	} else if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, dir, *check)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run is the whole demo. Everything it makes is gone when it returns.
func run(ctx context.Context, dir string, check bool) (err error) {
	d := &demo{dir: dir, out: os.Stdout}
	defer func() { err = errors.Join(err, d.end()) }()
	if err := d.begin(ctx); err != nil {
		return err
	}
	if err := d.show(ctx); ctx.Err() != nil {
		return nil // told to stop in the middle
	} else if err != nil || check {
		return err
	}
	fmt.Fprintf(d.out, "\nThe bucket stays mounted at %s. To try next, in another terminal:\n", dir)
	fmt.Fprintf(d.out, "  cp -r SOMETHING %[1]s/\n  git clone . %[1]s/clone\n  ls -lR %[1]s\n", dir)
	fmt.Fprintln(d.out, "Ctrl-C here, or make demo-stop, takes all of it down.")
	<-ctx.Done()
	fmt.Fprintln(d.out)
	return nil
}

type demo struct {
	dir     string
	out     io.Writer
	program string
	home    string // of the mount: what it keeps goes with the demo
	server  *harness.Server
	client  *harness.Client
	mounted bool
	pidFile string
}

func (d *demo) begin(ctx context.Context) (err error) {
	if harness.Mounted(d.dir) {
		return fmt.Errorf("%s is mounted already: make demo-stop ends a demo", d.dir)
	}
	d.say("Building cgs3fs and a real S3 server, versitygw (the first time this takes a minute or two).")
	if d.program, err = harness.Program(); err != nil {
		return err
	}
	if d.home, err = os.MkdirTemp("", "cgs3fs-demo-"); err != nil {
		return err
	}
	if d.server, err = harness.Start(harness.Config{}); err != nil {
		return err
	}
	d.client = d.server.Client("demo-bucket")
	if _, err := d.client.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: &d.client.Bucket}); err != nil {
		return err
	}
	pidFile, err := pidFileOf(d.dir)
	if err != nil {
		return err
	}
	if err := os.WriteFile(pidFile, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		return err
	}
	d.pidFile = pidFile
	d.say("The server listens on %s. What an app of Cloud Foundry would know of it is in VCAP_SERVICES.", d.server.Endpoint)
	return nil
}

// show mounts and works with files, and compares what an independent client sees.
func (d *demo) show(ctx context.Context) error {
	if err := d.shell(ctx, "cgs3fs mount "+quote(d.dir), ""); err != nil {
		return err
	}
	d.mounted = true
	const text = "Saved means saved.\n"
	source := filepath.Join(d.home, "hello.txt")
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		return err
	}
	for _, step := range []struct{ command, wants string }{
		{"mkdir " + quote(d.dir) + "/letters", ""},
		{"cp " + source + " " + quote(d.dir) + "/letters/", ""},
		{"ls -l " + quote(d.dir) + "/letters", "hello.txt"},
		{"cat " + quote(d.dir) + "/letters/hello.txt", text},
	} {
		if err := d.shell(ctx, step.command, step.wants); err != nil {
			return err
		}
	}
	d.say("The same object, asked of the server by an independent S3 client:")
	data, err := d.client.Read(ctx, "letters/hello.txt")
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  s3://%s/letters/hello.txt: %s", d.client.Bucket, data)
	if string(data) != text {
		return errors.New("the object differs from the file")
	}
	if err := d.client.Write(ctx, "letters/reply.txt", []byte("Seen.\n")); err != nil {
		return err
	}
	d.say("And the other way round: the client writes letters/reply.txt. A new name is seen within a second.")
	time.Sleep(time.Second)
	return d.shell(ctx, "cat "+quote(d.dir)+"/letters/reply.txt", "Seen.\n")
}

// shell shows a command, runs it, shows what it printed, and checks that it
// printed what was wanted.
func (d *demo) shell(ctx context.Context, line, wants string) error {
	fmt.Fprintf(d.out, "\n$ %s\n", line)
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Env = append(harness.Env(d.home, "VCAP_SERVICES="+d.server.VCAP(d.client.Bucket)),
		"PATH="+filepath.Dir(d.program)+":"+os.Getenv("PATH"))
	for _, dir := range []string{"tmp", "run"} {
		if err := os.MkdirAll(filepath.Join(d.home, dir), 0o700); err != nil {
			return err
		}
	}
	r := harness.Run(cmd)
	for out := range strings.Lines(r.Stdout + r.Stderr) {
		fmt.Fprint(d.out, "  ", out)
	}
	if r.Status != 0 {
		return fmt.Errorf("%s: exit status %d", line, r.Status)
	}
	if !strings.Contains(r.Stdout, wants) {
		return fmt.Errorf("%s did not print %q", line, wants)
	}
	return nil
}

// end takes down whatever was put up.
func (d *demo) end() error {
	var errs []error
	if d.mounted || harness.Mounted(d.dir) {
		errs = append(errs, d.shell(context.Background(), "cgs3fs umount "+quote(d.dir), ""))
	}
	if d.server != nil {
		errs = append(errs, d.server.Stop())
	}
	if d.home != "" {
		errs = append(errs, os.RemoveAll(d.home))
	}
	if d.pidFile != "" {
		errs = append(errs, os.Remove(d.pidFile))
	}
	return errors.Join(errs...)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "\n"+format+"\n", args...) }

// quote makes one word of the shell of a path.
func quote(path string) string {
	if strings.ContainsAny(path, " '\"$\\") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
