package command

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// trouble is what stands between a mount and its server, for those who wait and
// want to know why: requests that have no answer yet, and the last attempt that
// failed.
type trouble struct {
	now func() time.Time

	mu      sync.Mutex
	waiting map[*waiting]bool // guarded by mu
	failed  s3.Event          // guarded by mu; zero when there is none, or when what failed has succeeded since
}

func newTrouble() *trouble {
	return &trouble{now: time.Now, waiting: map[*waiting]bool{}}
}

// see learns from a finished attempt; for [s3.Observe].
func (t *trouble) see(e s3.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case troubles(e.Err):
		t.failed = e
	case t.failed.Key == e.Key && !errors.Is(e.Err, s3.ErrCanceled):
		t.failed = s3.Event{} // the server has decided
	}
}

// troubles says whether a failure is the server's, or the way's to it: not what it
// had to answer to the question, and not the end of who asked.
func troubles(err error) bool {
	for _, kind := range []error{
		s3.ErrUnavailable, s3.ErrThrottled, s3.ErrCorrupt, s3.ErrCredentials, s3.ErrDenied, s3.ErrNoBucket, s3.ErrQuota,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

const (
	worthSaying = 2 * time.Second // the silence of a server that who waits for it should know of
	oldStory    = time.Minute     // a failure that nobody tried again for so long keeps nobody waiting
)

// troubleReport is a trouble as status tells it.
type troubleReport struct {
	Silent string `json:",omitempty"` // how long the server has not answered
	Failed string `json:",omitempty"` // the last attempt's failure, in S3's words where it had some
}

func (r troubleReport) String() string {
	if r.Silent == "" || r.Failed == "" {
		return r.Silent + r.Failed
	}
	return r.Silent + "; " + r.Failed
}

func (t *trouble) report() troubleReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	var r troubleReport
	var longest time.Duration
	for w := range t.waiting {
		longest = max(longest, t.now().Sub(w.lastMoved()))
	}
	if longest >= worthSaying {
		r.Silent = fmt.Sprintf("the server has not answered a request for %v", longest.Truncate(time.Second))
	}
	if ago := t.now().Sub(t.failed.Start.Add(t.failed.Duration)); t.failed.Err != nil && ago < oldStory {
		r.Failed = fmt.Sprintf("%v ago: %v", ago.Truncate(time.Second), t.failed.Err)
	}
	return r
}

// watch is next with an eye on the requests that go through it.
func (t *trouble) watch(next http.RoundTripper) http.RoundTripper { return watched{t, next} }

type watched struct {
	*trouble
	next http.RoundTripper
}

func (t watched) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &waiting{now: t.now}
	w.move()
	if r.Body != nil && r.Body != http.NoBody {
		w.ReadCloser = r.Body
		r = r.WithContext(r.Context()) // a copy
		r.Body = w
	}
	t.mu.Lock()
	t.waiting[w] = true
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.waiting, w)
		t.mu.Unlock()
	}()
	return t.next.RoundTrip(r)
}

// waiting is a request without an answer, and its body. Each read of that is a
// movement.
type waiting struct {
	io.ReadCloser
	now func() time.Time

	mu    sync.Mutex
	moved time.Time // guarded by mu
}

func (w *waiting) move() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moved = w.now()
}

func (w *waiting) lastMoved() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moved
}

func (w *waiting) Read(p []byte) (int, error) {
	w.move()
	return w.ReadCloser.Read(p)
}
