package mount

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// memoryLimit is the budget of these tests, and memoryOverhead what the process
// may have besides: the Go runtime, goroutines, connections, names.
const (
	memoryLimit    = 256 << 20
	memoryOverhead = 64 << 20
)

func TestFiveThousandFilesInOneDirectory(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	if err := os.Mkdir(m.Path("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	const n = 5_000
	var g errgroup.Group
	g.SetLimit(8)
	for i := range n {
		g.Go(func() error {
			return os.WriteFile(m.Path("dir", fmt.Sprintf("%04d", i)), []byte(fmt.Sprint(i)), 0o644)
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at once", "after a remount"} {
		if got := len(names(t, m.Path("dir"))); got != n {
			t.Errorf("%d names %s, want %d", got, when, n)
		}
		wantContent(t, m.Path("dir", "0042"), []byte("42"))
		if when == "at once" {
			m.Remount(t)
		}
	}
	if err := os.RemoveAll(m.Path("dir")); err != nil {
		t.Fatal(err)
	}
	wantNames(t, m.Dir)
	if keys := client.Keys(t, ""); len(keys) != 0 {
		t.Errorf("%d objects are left after rm -r", len(keys))
	}
}

// pattern writes content that is mostly zeros, so that the server's disk can
// hold it, but with the position in every 4 KiB, so that nothing can change
// places unnoticed.
func pattern(w io.Writer, size int64) error {
	block := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(block)) {
		for i := 0; i < len(block); i += 4096 {
			binary.BigEndian.PutUint64(block[i:], uint64(off)+uint64(i)+1)
		}
		if _, err := w.Write(block[:min(int64(len(block)), size-off)]); err != nil {
			return err
		}
	}
	return nil
}

// checkPattern reads what pattern wrote.
func checkPattern(r io.Reader, size int64) error {
	block := make([]byte, 1<<20)
	zeros := make([]byte, 4096)
	for off := int64(0); off < size; off += int64(len(block)) {
		if _, err := io.ReadFull(r, block[:min(int64(len(block)), size-off)]); err != nil {
			return fmt.Errorf("at %d: %w", off, err)
		}
		for i := 0; i < len(block); i += 4096 {
			page := block[i : i+4096]
			if at := binary.BigEndian.Uint64(page); at != uint64(off)+uint64(i)+1 || !bytes.Equal(page[8:], zeros[8:]) {
				return fmt.Errorf("the page at %d says it is the one at %d", off+int64(i), int64(at)-1)
			}
		}
	}
	if n, err := r.Read(block); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the end: %d bytes, %v", n, err)
	}
	return nil
}

func TestSixGiBStreamThroughTheBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 6 GiB")
	}
	const size = 6 << 30
	s := harness.NewServerWith(t, harness.Config{Sidecar: true})
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket, "--memory-limit", "256M")
	f, err := os.OpenFile(m.Path("big"), os.O_CREATE|os.O_WRONLY, 0o644) // as cp does
	if err != nil {
		t.Fatal(err)
	}
	if err := pattern(f, size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("peak RSS after writing: %d MiB", m.PeakRSS(t)>>20)
	if f, err = os.Open(m.Path("big")); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := checkPattern(f, size); err != nil {
		t.Errorf("through the mount: %v", err)
	}
	if peak := m.PeakRSS(t); peak > memoryLimit {
		t.Errorf("peak RSS is %d MiB, over the budget of %d MiB", peak>>20, memoryLimit>>20)
	} else {
		t.Logf("peak RSS after reading: %d MiB", peak>>20)
	}
	out, err := client.GetObject(t.Context(), getInput(client, "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if err := checkPattern(out.Body, size); err != nil {
		t.Errorf("through the S3 client: %v", err)
	}
}

func getInput(client *harness.Client, key string) *awss3.GetObjectInput {
	return &awss3.GetObjectInput{Bucket: &client.Bucket, Key: &key}
}

// Two hundred files grow side by side, each by turns, all open until the end.
func TestTwoHundredFilesOpenForWriting(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket, "--memory-limit", "256M")
	const count, rounds, piece = 200, 12, 128 << 10
	files := make([]*os.File, count)
	for i := range files {
		f, err := os.Create(m.Path(fmt.Sprintf("file%03d", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	for round := range rounds {
		for i, f := range files {
			if _, err := f.Write(harness.Noise(uint64(i*rounds+round), piece)); err != nil {
				t.Fatalf("file %d, round %d: %v", i, round, err)
			}
		}
	}
	var g errgroup.Group
	g.SetLimit(16)
	for _, f := range files {
		g.Go(f.Close)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if peak := m.PeakRSS(t); peak > memoryLimit+memoryOverhead {
		t.Errorf("peak RSS is %d MiB, over %d MiB", peak>>20, (memoryLimit+memoryOverhead)>>20)
	}
	for i := range files {
		var want []byte
		for round := range rounds {
			want = append(want, harness.Noise(uint64(i*rounds+round), piece)...)
		}
		name := fmt.Sprintf("file%03d", i)
		wantEqual(t, name, client.Get(t, name), want)
	}
}
