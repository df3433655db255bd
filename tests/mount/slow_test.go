package mount

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// slowLine lets every request wait for a round trip.
type slowLine struct {
	next http.RoundTripper
	trip time.Duration
}

func (s slowLine) RoundTrip(r *http.Request) (*http.Response, error) {
	timer := time.NewTimer(s.trip)
	defer timer.Stop()
	select {
	case <-timer.C:
		return s.next.RoundTrip(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// TestFilesAreReadAheadOverASlowLine copies a directory of small files with cp,
// with and without --read-ahead-files, at a round trip of 40 ms.
func TestFilesAreReadAheadOverASlowLine(t *testing.T) {
	const files, trip = 150, 40 * time.Millisecond
	s := harness.NewServer(t)
	client := s.Bucket(t)
	fill(t, client, "dir/", files)
	took := map[bool]time.Duration{}
	for _, ahead := range []bool{false, true} {
		m := s.Mount(t, client.Bucket, fmt.Sprintf("--read-ahead-files=%v", ahead))
		s.Proxy.Harm(slowLine{s.Proxy.Upstream(), trip})
		s.Proxy.Reset()
		began := time.Now()
		to := t.TempDir()
		run(t, m.Dir, "cp", "-r", "dir", to)
		took[ahead] = time.Since(began)
		// On a busy machine some that were read ahead are too old when their turn comes.
		if n := s.Proxy.Counts()["GetObject"]; n < files || n > files && !ahead || n > 2*files {
			t.Errorf("reading ahead %v: %d files were read with %d GETs", ahead, files, n)
		}
		s.Proxy.Harm(nil)
		if got := run(t, m.Dir, "diff", "-r", "dir", to+"/dir"); got != "" {
			t.Errorf("reading ahead %v: the copy differs: %s", ahead, got)
		}
		m.Unmount(t)
	}
	t.Logf("%d files at %v: %v one after another, %v read ahead", files, trip, took[false], took[true])
	if took[true] > took[false]*3/4 { // a quarter or less on a quiet machine
		t.Errorf("reading ahead took %v, one after another %v", took[true], took[false])
	}
}
