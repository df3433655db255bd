package faults

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// Two mounts and a client of the bucket make the same name exclusively: one of the
// three wins, and what it wrote is the object. The others get EEXIST, at close, or at
// open where the mount decides then; what a close refused is kept.
func TestExclusiveCreateHasOneWinner(t *testing.T) {
	const rounds = 40
	for _, row := range []struct {
		decided string
		flags   []string
		race    func(t *testing.T, path string, content string) func() error
	}{
		{"at close", nil, closeExclusively},
		{"at open", []string{"--exclusive-at-open"}, createExclusively},
	} {
		t.Run(row.decided, func(t *testing.T) {
			s := harness.NewServer(t)
			client := s.Bucket(t)
			mounts := []*harness.Mount{
				s.MountWith(t, client.Bucket, harness.MountOptions{Flags: row.flags, Unsaved: row.flags == nil}),
				s.MountWith(t, client.Bucket, harness.MountOptions{Flags: row.flags, Unsaved: row.flags == nil}),
			}
			wins, refused := map[string]int{}, [2]int{}
			for round := range rounds {
				name := fmt.Sprintf("lock%d", round)
				racers := map[string]func() error{"client": func() error { return putNew(t, client, name, "client") }}
				for i, m := range mounts {
					who := fmt.Sprint("mount ", i)
					racers[who] = row.race(t, m.Path(name), who)
				}
				outcome := together(racers)
				var winners []string
				for who, err := range outcome {
					switch {
					case err == nil:
						winners = append(winners, who)
					case !errors.Is(err, syscall.EEXIST):
						t.Errorf("round %d, %s: %v, want EEXIST", round, who, err)
					}
				}
				if len(winners) != 1 {
					t.Fatalf("round %d: the winners are %q", round, winners)
				}
				if got := string(client.Get(t, name)); got != winners[0] {
					t.Fatalf("round %d: %s won, and the object holds %q", round, winners[0], got)
				}
				wins[winners[0]]++
				for i := range mounts {
					if outcome[fmt.Sprint("mount ", i)] != nil && row.flags == nil {
						refused[i]++
					}
				}
			}
			t.Logf("of %d rounds these won: %v", rounds, wins)
			for i, m := range mounts {
				if kept := len(kept(t, m)); kept != refused[i] {
					t.Errorf("mount %d: %d contents were refused at close, and %d are kept", i, refused[i], kept)
				}
			}
		})
	}
}

// createExclusively is a race that begins with open.
func createExclusively(_ *testing.T, path, content string) func() error {
	return func() error {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = f.WriteString(content)
		return errors.Join(err, f.Close())
	}
}

// closeExclusively is a race that begins with close: all have the file open by then,
// and none may be told before.
func closeExclusively(t *testing.T, path, content string) func() error {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f.Close
}

// putNew makes an object if there is none, EEXIST otherwise. It looks first, as mounts
// do, which would always come later otherwise.
func putNew(t *testing.T, client *harness.Client, key, content string) error {
	if client.Has(t, key) {
		return syscall.EEXIST
	}
	_, err := client.PutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: &client.Bucket, Key: &key, Body: strings.NewReader(content), IfNoneMatch: aws.String("*"),
	})
	if refused(err) {
		return syscall.EEXIST
	}
	return err
}

// refused tells whether an error is that of a condition that does not hold.
func refused(err error) bool {
	var answer interface {
		error
		HTTPStatusCode() int
	}
	return errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusPreconditionFailed
}

// together does all at the same time and returns how each went.
func together(racers map[string]func() error) map[string]error {
	outcome := map[string]error{}
	var mu sync.Mutex
	var group sync.WaitGroup
	start := make(chan struct{})
	for who, do := range racers {
		group.Go(func() {
			<-start
			err := do()
			mu.Lock()
			defer mu.Unlock()
			outcome[who] = err
		})
	}
	close(start)
	group.Wait()
	return outcome
}

// kept is the sidecars of what a mount could not save.
func kept(t *testing.T, m *harness.Mount) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(m.Home, ".local", "state", "cgs3fs", "recovery", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// Somebody else replaces an object while it is edited in place: theirs stays,
// the editor gets ESTALE, and the edit is kept.
func TestInPlaceEditNeverOverwritesAnotherVersion(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.MountWith(t, client.Bucket, harness.MountOptions{Unsaved: true})
	for _, size := range []int{100, 30 << 20} {
		client.Put(t, "file", harness.Noise(1, size))
		f, err := os.OpenFile(m.Path("file"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("ours"), 10); err != nil {
			t.Fatal(err)
		}
		theirs := harness.Noise(2, size)
		client.Put(t, "file", theirs)
		if err := f.Close(); !errors.Is(err, syscall.ESTALE) {
			t.Errorf("%d bytes: close after another's change: %v, want ESTALE", size, err)
		}
		if got := client.Get(t, "file"); string(got) != string(theirs) {
			t.Errorf("%d bytes: the other's content was overwritten", size)
		}
	}
}

// Reads through one open file never mix two versions of the object: each request
// after the one that opened it asks for that version and no other.
func TestOpenFileReadsOneVersion(t *testing.T) {
	const size, rounds = 12 << 20, 20
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket, "--metadata-ttl", "0")
	first, second := harness.Noise(0, size), harness.Noise(1, size)
	conditional, stale := 0, 0
	for round := range rounds {
		name := fmt.Sprint("file", round)
		client.Put(t, name, first)
		version := *client.Head(t, name).ETag
		s.Proxy.Reset()
		f, err := os.Open(m.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 256<<10)
		changed := false
		for off := 0; off < size; off += len(buf) {
			if off == len(buf)*(1+round*2) {
				client.Put(t, name, second)
				changed = true
			}
			n, err := f.ReadAt(buf, int64(off))
			if errors.Is(err, syscall.ESTALE) && changed {
				stale++
				break
			}
			if err != nil {
				t.Fatalf("round %d, at %d: %v", round, off, err)
			}
			if string(buf[:n]) != string(first[off:off+n]) {
				t.Fatalf("round %d: the bytes at %d are not those of the version that was opened", round, off)
			}
		}
		f.Close()
		for i, r := range getsOf(s, name) {
			asked := r.Header.Get("If-Match")
			if i > 0 && asked != version {
				t.Errorf("round %d: GET %d has If-Match %q, want the version that was opened, %q", round, i, asked, version)
			}
			if asked != "" {
				conditional++
			}
		}
		if got, err := os.ReadFile(m.Path(name)); err != nil || string(got) != string(second) {
			t.Fatalf("round %d: the next open did not see the new version: %v", round, err)
		}
	}
	t.Logf("%d conditional GETs; %d of %d files went stale", conditional, stale, rounds)
	if conditional < rounds { // an open brings the first MiB and no more
		t.Error("the reads needed too few requests: the test proves too little")
	}
}

// getsOf is the GETs of an object, in the order they came.
func getsOf(s *harness.Server, key string) []harness.Request {
	return slices.DeleteFunc(s.Proxy.Requests(), func(r harness.Request) bool { return r.Op != "GetObject" || r.Key != key })
}

// Whole replacements race, and a client of the bucket that replaces one version and
// no other: the last mount wins, whole. The client comes before both, or not at all.
func TestRacingReplacementsAreWhole(t *testing.T) {
	const rounds = 30
	s := harness.NewServer(t)
	client := s.Bucket(t)
	mounts := []*harness.Mount{s.Mount(t, client.Bucket), s.Mount(t, client.Bucket)}
	clientWon := 0
	for round := range rounds {
		size := []int{1000, 200_000, 17 << 20}[round%3]
		client.Put(t, "file", []byte(fmt.Sprint("before round ", round)))
		was := client.Head(t, "file").ETag
		contents, racers := map[string]bool{}, map[string]func() error{}
		for i, m := range mounts {
			data := harness.Noise(uint64(round*2+i), size+i)
			contents[string(data)] = true
			racers[fmt.Sprint("mount ", i)] = func() error { return os.WriteFile(m.Path("file"), data, 0o644) }
		}
		racers["client"] = func() error {
			_, err := client.PutObject(t.Context(), &awss3.PutObjectInput{
				Bucket: &client.Bucket, Key: aws.String("file"), Body: bytes.NewReader(harness.Noise(1000, size)), IfMatch: was,
			})
			if refused(err) {
				return syscall.ESTALE
			}
			return err
		}
		for who, err := range together(racers) {
			switch {
			case who == "client" && err == nil:
				clientWon++
			case err != nil && (who != "client" || !errors.Is(err, syscall.ESTALE)):
				t.Errorf("round %d, %s: %v", round, who, err)
			}
		}
		if got := client.Get(t, "file"); !contents[string(got)] {
			t.Fatalf("round %d: the object of %d bytes is neither of the two that mounts wrote", round, len(got))
		}
	}
	t.Logf("the client came first in %d of %d rounds", clientWon, rounds)
}
