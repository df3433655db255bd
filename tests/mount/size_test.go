package mount

import (
	"fmt"
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
	if err := harness.WritePattern(f, size); err != nil {
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
	if err := harness.CheckPattern(f, size); err != nil {
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
	if err := harness.CheckPattern(out.Body, size); err != nil {
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
