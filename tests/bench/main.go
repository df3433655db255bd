// Command bench runs cgs3fs beside rclone mount and s3fs on one S3 server.
//
// The three take turns within each row, so that noise of the machine meets all
// of them; each row is the median of a few rounds. Every row starts with a
// fresh mount, an empty cache directory and a dropped page cache. A write ends
// when everything is in S3, whatever close said. The exit status is 1 if cgs3fs
// is slower than one of the others in any row, or its memory passes the bound.
//
// Usage: go run ./bench [-rounds 3] [-dir /dev/shm] [-only 'read|ls'] [-programs cgs3fs,rclone] [-out bench.txt]
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok, err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

// settings are the command line.
type settings struct {
	rounds   int
	dir      string
	only     *regexp.Regexp
	programs []string
	out      string
	scale    int // divides all amounts; 1 but for a quick look
}

func parse(args []string) (settings, error) {
	var s settings
	var only, programs string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.rounds, "rounds", 3, "measurements of each cell; the median counts")
	flags.StringVar(&s.dir, "dir", "/dev/shm", "where the server keeps its data and programs their caches")
	flags.StringVar(&only, "only", "", "a regular expression: only these rows")
	flags.StringVar(&programs, "programs", "cgs3fs,rclone,s3fs", "which programs")
	flags.StringVar(&s.out, "out", "", "also write every measurement here, for benchstat")
	flags.IntVar(&s.scale, "scale", 1, "divide all amounts by this, for a quick look")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	var err error
	if s.only, err = regexp.Compile(only); err != nil {
		return s, fmt.Errorf("-only: %w", err)
	}
	s.programs = strings.Split(programs, ",")
	return s, nil
}

func run(ctx context.Context, args []string, w io.Writer) (ok bool, err error) {
	set, err := parse(args)
	if err != nil {
		return false, err
	}
	b, err := newBench(ctx, set)
	if err != nil {
		return false, err
	}
	defer func() {
		if e := b.close(); err == nil {
			err = e
		}
	}()
	results, err := b.measure(ctx, w)
	if err != nil {
		return false, err
	}
	if set.out != "" {
		if err := os.WriteFile(set.out, []byte(results.benchfmt()), 0o644); err != nil {
			return false, err
		}
	}
	return results.print(w), nil
}
