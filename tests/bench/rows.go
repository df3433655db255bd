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
	name string
	unit string                 // of the table
	work func(b *bench) float64 // how much of the unit do does; 0: the unit is seconds
	do   func(context.Context, *bench, *mounted) (time.Time, error)
}

func mebibytes(b *bench) float64 { return float64(b.big()) / 1e6 }
func files(b *bench) float64     { return float64(b.smalls()) }

var rows = []row{
	{"write 1 GiB", "MB/s", mebibytes, writeBig},
	{"read 1 GiB, cold", "MB/s", mebibytes, func(_ context.Context, _ *bench, m *mounted) (time.Time, error) {
		err := read(filepath.Join(m.dir, "read", "big"))
		return time.Now(), err
	}},
	{"four readers, cold", "MB/s", mebibytes, readFour},
	{"write 1,000 × 4 KiB", "files/s", files, writeSmall},
	{"read 1,000 × 4 KiB, cold", "files/s", files, readSmall},
	{"ls -l of 10,000, cold", "s", nil, listMany},
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

func readSmall(_ context.Context, b *bench, m *mounted) (time.Time, error) {
	for i := range b.smalls() {
		data, err := os.ReadFile(filepath.Join(m.dir, "small", fmt.Sprintf("%04d", i)))
		if err == nil && len(data) != smallSize {
			err = fmt.Errorf("read %d bytes of a small file", len(data))
		}
		if err != nil {
			return time.Time{}, err
		}
	}
	return time.Now(), nil
}

func listMany(ctx context.Context, _ *bench, m *mounted) (time.Time, error) {
	out, err := exec.CommandContext(ctx, "ls", "-l", filepath.Join(m.dir, "list")).CombinedOutput()
	if err != nil {
		return time.Time{}, fmt.Errorf("ls: %w: %s", err, out)
	}
	return time.Now(), nil
}
