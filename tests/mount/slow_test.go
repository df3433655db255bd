package mount

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// slowLine lets every request wait for a round trip, and counts the reads of objects
// that did so beside another one.
type slowLine struct {
	next http.RoundTripper
	trip time.Duration

	reading, beside atomic.Int64
}

func (s *slowLine) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && !listing(r) {
		if s.reading.Add(1) > 1 {
			s.beside.Add(1)
		}
		defer s.reading.Add(-1)
	}
	timer := time.NewTimer(s.trip)
	defer timer.Stop()
	select {
	case <-timer.C:
		return s.next.RoundTrip(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func listing(r *http.Request) bool { return r.URL.Query().Has("list-type") }

// TestFilesAreReadAheadOverASlowLine copies a directory of small files with cp,
// with and without --read-ahead-files, at a round trip of 40 ms. How much faster the
// one is is said and not judged; what makes it faster is that most reads wait together.
func TestFilesAreReadAheadOverASlowLine(t *testing.T) {
	const files, trip = 150, 40 * time.Millisecond
	s := harness.NewServer(t)
	client := s.Bucket(t)
	fill(t, client, "dir/", files)
	for _, ahead := range []bool{false, true} {
		m := s.Mount(t, client.Bucket, fmt.Sprintf("--read-ahead-files=%v", ahead))
		line := &slowLine{next: s.Proxy.Upstream(), trip: trip}
		s.Proxy.Harm(line)
		s.Proxy.Reset()
		began := time.Now()
		to := t.TempDir()
		run(t, m.Dir, "cp", "-r", "dir", to)
		beside := line.beside.Load()
		t.Logf("reading ahead %v: %d files at %v took %v, %d of them beside another: %v", ahead, files, trip, time.Since(began), beside, s.Proxy.Counts())
		// On a busy machine some that were read ahead are too old when their turn comes.
		if n := s.Proxy.Counts()["GetObject"]; n < files || n > files && !ahead || n > 2*files {
			t.Errorf("reading ahead %v: %d files were read with %d GETs", ahead, files, n)
		}
		if ahead && beside < files/2 || !ahead && beside > 0 {
			t.Errorf("reading ahead %v: %d of %d files were read beside another", ahead, beside, files)
		}
		s.Proxy.Harm(nil)
		if got := run(t, m.Dir, "diff", "-r", "dir", to+"/dir"); got != "" {
			t.Errorf("reading ahead %v: the copy differs: %s", ahead, got)
		}
		m.Unmount(t)
	}
}
