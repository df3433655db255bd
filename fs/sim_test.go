package fs

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// The simulator: programs whose system calls go through a simulated kernel
// (simkernel_test.go) into an FS without a mount, over a bucket in memory that
// fails as it is told. Parts are tiny, so that a few hundred bytes make a
// multipart upload. Nothing waits: time is that of testing/synctest, or sleeps
// are left out.

// simPart is the first part size; of simMin bytes on a part may be copied.
const (
	simPart = 64
	simMin  = 16
)

// simMount is one mount of the bucket.
type simMount struct {
	faulty   *s3test.Faulty
	xfer     *transfer.Engine
	fs       *FS
	k        *simKernel
	stage    string
	recovery string

	mu    sync.Mutex
	fired int        // guarded by mu; failures by plan that reached the FS
	tries int        // guarded by mu; requests
	bad   int        // guarded by mu; of these, the ones that failed by plan
	seen  []s3.Event // guarded by mu; requests, if they are to be kept
	keep  bool       // guarded by mu
	// strays counts what failures may leave behind: uploads that were begun
	// without an answer where that was all, or that could not be aborted.
	strays   int // guarded by mu
	attempts int // of a request
}

// simConfig says what a simMount is like.
type simConfig struct {
	Config
	attempts int // of a request; 3 if zero
	parallel int // requests for one file; 1 if zero, so that a run can be repeated
	sleep    func(context.Context, time.Duration) error
}

// newSimMount mounts a bucket under dir, which must be private to it.
func newSimMount(t testing.TB, mem *s3test.Mem, dir string, cfg simConfig) *simMount {
	t.Helper()
	m := &simMount{stage: filepath.Join(dir, "stage"), recovery: filepath.Join(dir, "recovery"), attempts: max(cfg.attempts, 1)}
	for _, d := range []string{m.stage, m.recovery} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m.faulty = s3test.NewFaulty(mem, s3test.Plan{})
	retried := s3.Retry(s3.Observe(m.faulty, m.sawTry), s3.RetryConfig{
		Attempts: m.attempts, Sleep: cfg.sleep, Rand: func() float64 { return 0.5 },
	})
	bucket := s3.Observe(retried, m.sawRequest)
	var err error
	m.xfer, err = transfer.New(bucket, nil, transfer.Config{
		Memory: 8 << 20, StageDir: m.stage, PartSize: simPart, Parallel: max(cfg.parallel, 1),
		Limits: transfer.Limits{MinPartSize: simMin},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.RecoveryDir, cfg.copyAbove = m.recovery, 1
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if m.fs, err = New(bucket, m.xfer, cfg.Config); err != nil {
		t.Fatal(err)
	}
	m.k = newSimKernel(m.fs)
	return m
}

// simBucket is a bucket whose parts may be tiny.
func simBucket() *s3test.Mem { return s3test.NewMem(s3test.MemConfig{MinPartSize: 1, MaxPage: 3}) }

// byPlan reports whether an error is one that only a plan makes.
func byPlan(err error) bool {
	for _, kind := range []error{s3.ErrUnavailable, s3.ErrThrottled, s3.ErrDenied, s3.ErrCredentials, s3.ErrCorrupt, s3.ErrQuota} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func (m *simMount) sawTry(e s3.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	if byPlan(e.Err) {
		m.bad++
		if e.Op == s3.OpHead {
			m.fired++ // perhaps s3.Retry's question whether a write was its own: the answer to that write is in doubt
		}
		if e.Op == s3.OpAbortUpload || e.Op == s3.OpListUploads || e.Op == s3.OpListParts {
			m.strays += m.attempts
		}
	}
	if m.keep {
		m.seen = append(m.seen, e)
	}
}

func (m *simMount) sawRequest(e s3.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if byPlan(e.Err) {
		m.fired++
		if e.Op == s3.OpNewUpload {
			m.strays += m.attempts
		}
	}
}

// failures is how many failures reached the FS so far.
func (m *simMount) failures() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fired
}

// end unmounts and reports what should not be left. Everything is to be closed.
func (m *simMount) end() error {
	m.k.dropCaches()
	m.fs.finish()
	errs := []error{m.xfer.Close()}
	if left, _ := os.ReadDir(m.stage); len(left) > 0 {
		errs = append(errs, errors.New("staged bytes are left: "+left[0].Name()))
	}
	if n := m.fs.handles.len(); n > 0 {
		errs = append(errs, errors.New("handles are left"))
	}
	return errors.Join(errs...)
}
