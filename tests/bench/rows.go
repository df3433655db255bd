package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	readers   = 4
	smallSize = 4 << 10
	copySize  = 1 << 20 // of each read and write
)

// row is one measurement: do is timed and returns when the work was finished.
type row struct {
	name    string
	unit    string                 // of the table
	work    func(b *bench) float64 // how much of the unit do does; nil: the unit is seconds
	prepare func(context.Context, *bench) error
	do      func(context.Context, *bench, *mounted) (time.Time, error)
}

func mebibytes(b *bench) float64 { return float64(b.big()) / 1e6 }
func files(b *bench) float64     { return float64(b.smalls()) }
func moved(b *bench) float64     { return float64(b.smalls() / 2) }

var rows = []row{
	{"write 1 GiB", "MB/s", mebibytes, nil, writeBig},
	{"read 1 GiB, cold", "MB/s", mebibytes, nil, func(_ context.Context, _ *bench, m *mounted) (time.Time, error) {
		err := read(filepath.Join(m.dir, "read", "big"))
		return time.Now(), err
	}},
	{"four readers, cold", "MB/s", mebibytes, nil, readFour},
	{"write 1,000 × 4 KiB", "files/s", files, nil, writeSmall},
	{"read 1,000 × 4 KiB, cold", "files/s", files, nil, readSmall(1)},
	{"the same by 16 at once", "files/s", files, nil, readSmall(16)},
	{"ls -l of 10,000, cold", "s", nil, nil, shell("ls -l list")},
	{"find 500 × 10, cold", "s", nil, nil, shell("find tree")},
	{"rm -r of 500", "files/s", moved, fillOld, func(ctx context.Context, b *bench, m *mounted) (time.Time, error) {
		if _, err := shell("rm -r old")(ctx, b, m); err != nil {
			return time.Time{}, err
		}
		return b.arrived(ctx, "old/", 0, smallSize)
	}},
	{"mv of a directory of 500", "files/s", moved, fillOld, func(ctx context.Context, b *bench, m *mounted) (time.Time, error) {
		if _, err := shell("mv old new")(ctx, b, m); err != nil {
			return time.Time{}, err
		}
		return b.arrived(ctx, "new/", b.smalls()/2, smallSize)
	}},
}

// fillOld makes the directory that a row removes or renames.
func fillOld(ctx context.Context, b *bench) error {
	if err := b.remove(ctx, "old/"); err != nil {
		return err
	}
	return b.fill(ctx, "old/%04d", b.smalls()/2, smallSize)
}

func writeBig(ctx context.Context, b *bench, m *mounted) (time.Time, error) {
	f, err := os.OpenFile(filepath.Join(m.dir, "written"), os.O_CREATE|os.O_WRONLY, 0o644) // as cp does
	if err != nil {
		return time.Time{}, err
	}
	for off := 0; off < b.big(); off += copySize {
		at := off % len(b.noise)
		if _, err := f.Write(b.noise[at : at+copySize]); err != nil {
			return time.Time{}, err
		}
	}
	if err := f.Close(); err != nil {
		return time.Time{}, err
	}
	return b.arrived(ctx, "written", 1, int64(b.big()))
}

func read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, copySize)
	for {
		if _, err := f.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func readFour(_ context.Context, _ *bench, m *mounted) (time.Time, error) {
	var g errgroup.Group
	for i := range readers {
		g.Go(func() error { return read(filepath.Join(m.dir, "read", fmt.Sprintf("part%d", i))) })
	}
	err := g.Wait()
	return time.Now(), err
}

func writeSmall(ctx context.Context, b *bench, m *mounted) (time.Time, error) {
	dir := filepath.Join(m.dir, "new")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return time.Time{}, err
	}
	for i := range b.smalls() {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d", i)), b.noise[:smallSize], 0o644); err != nil {
			return time.Time{}, err
		}
	}
	return b.arrived(ctx, "new/", b.smalls(), smallSize)
}

// readSmall reads the small files in order, so many at once.
func readSmall(width int) func(context.Context, *bench, *mounted) (time.Time, error) {
	return func(_ context.Context, b *bench, m *mounted) (time.Time, error) {
		var g errgroup.Group
		g.SetLimit(width)
		for i := range b.smalls() {
			g.Go(func() error {
				data, err := os.ReadFile(filepath.Join(m.dir, "small", fmt.Sprintf("%04d", i)))
				if err == nil && len(data) != smallSize {
					err = fmt.Errorf("read %d bytes of a small file", len(data))
				}
				return err
			})
		}
		err := g.Wait()
		return time.Now(), err
	}
}

// shell runs a command in the mounted directory.
func shell(command string) func(context.Context, *bench, *mounted) (time.Time, error) {
	return func(ctx context.Context, _ *bench, m *mounted) (time.Time, error) {
		cmd := exec.CommandContext(ctx, "sh", "-c", command)
		cmd.Dir = m.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return time.Time{}, fmt.Errorf("%s: %w: %.200s", command, err, out)
		}
		return time.Now(), nil
	}
}
