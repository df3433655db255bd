package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// faulty returns a bucket with retries over a bucket that fails by rules, and
// what is below it.
func faulty(rules ...s3test.Rule) (s3.Bucket, *s3test.Faulty, *s3test.Mem) {
	m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
	f := s3test.NewFaulty(m, s3test.Plan{Rules: rules})
	clock := newClock()
	return s3.Retry(f, s3.RetryConfig{Now: clock.now, Sleep: clock.sleep}), f, m
}

func readAll(t *testing.T, b s3.Bucket, key string, o s3.GetOptions) (string, error) {
	t.Helper()
	body, err := b.Get(t.Context(), key, o)
	if err != nil {
		return "", err
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	return string(data), err
}

func TestRetryConforms(t *testing.T) {
	s3test.Run(t, func(*testing.T) s3.Bucket {
		return s3.Retry(s3test.NewMem(s3test.MemConfig{MinPartSize: 1}), s3.RetryConfig{})
	}, s3test.Features{SmallParts: true})
}

// TestRetryConformsUnderFaults runs the whole suite while every tenth request
// fails, half of these after they were applied.
func TestRetryConformsUnderFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s3test.Run(t, func(*testing.T) s3.Bucket {
		seed++
		f := s3test.NewFaulty(s3test.NewMem(s3test.MemConfig{MinPartSize: 1}), s3test.Plan{Seed: seed, Rules: []s3test.Rule{
			{P: 0.05, Fault: s3test.Fault{Do: s3test.Fail}},
			{Op: s3.OpNewUpload, Fault: s3test.Fault{}}, // one that nobody knows stays behind
			{P: 0.05, Fault: s3test.Fault{Do: s3test.Drop}},
			{P: 0.03, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrThrottled}},
			{Op: s3.OpGet, P: 0.3, Fault: s3test.Fault{Do: s3test.Cut, After: 3}},
		}})
		return retried(f)
	}, s3test.Features{SmallParts: true, NoVersions: true}) // a repeated Put makes two of them
}

// clock is a time that passes only when somebody sleeps.
type clock struct {
	mu sync.Mutex
	t  time.Time // guarded by mu
}

func newClock() *clock { return &clock{t: time.Unix(1e9, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) sleep(_ context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return nil
}

func TestRetryTriesAgainWhatMayWork(t *testing.T) {
	tests := []struct {
		kind  error
		calls int
	}{
		{s3.ErrUnavailable, 10},
		{s3.ErrThrottled, 10},
		{s3.ErrCorrupt, 3},
		{s3.ErrDenied, 1},
		{s3.ErrInvalid, 1},
		{s3.ErrCredentials, 1},
		{s3.ErrNotFound, 1},
		{s3.ErrUntrusted, 1},
		{s3.ErrCanceled, 1},
	}
	for _, test := range tests {
		b, f, _ := faulty(s3test.Rule{Fault: s3test.Fault{Do: s3test.Fail, Kind: test.kind}})
		_, err := b.Head(t.Context(), "a")
		if !errors.Is(err, test.kind) {
			t.Errorf("%v: got %v", test.kind, err)
		}
		if got := f.Calls()[s3.OpHead]; got != test.calls {
			t.Errorf("%v: %d calls, want %d", test.kind, got, test.calls)
		}
	}
}

func TestRetryBacksOffWithinItsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := s3test.NewMem(s3test.MemConfig{})
		f := s3test.NewFaulty(m, s3test.Plan{Rules: []s3test.Rule{{Fault: s3test.Fault{Do: s3test.Fail}}}})
		b := s3.Retry(f, s3.RetryConfig{Attempts: 1000, Rand: func() float64 { return 1 }})
		start := time.Now()
		_, err := b.Head(t.Context(), "a")
		if took := time.Since(start); !errors.Is(err, s3.ErrUnavailable) || took > time.Minute || took < 30*time.Second {
			t.Errorf("gave up after %v: %v", took, err)
		}
		// At once, then 0.2, 0.4, … 12.8 s, and a second of 20 s would be too long.
		if got := f.Calls()[s3.OpHead]; got != 10 {
			t.Errorf("%d attempts", got)
		}
		start = time.Now()
		_, err = b.Put(t.Context(), "a", strings.NewReader("x"), s3.PutOptions{})
		if took := time.Since(start); !errors.Is(err, s3.ErrUnavailable) || took > 10*time.Minute || took < 9*time.Minute {
			t.Errorf("gave up an upload after %v: %v", took, err)
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := s3test.NewFaulty(s3test.NewMem(s3test.MemConfig{}), s3test.Plan{Rules: []s3test.Rule{{Fault: s3test.Fault{Do: s3test.Fail}}}})
		b := s3.Retry(f, s3.RetryConfig{Rand: func() float64 { return 1 }})
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := b.Head(ctx, "a")
		if took := time.Since(start); !errors.Is(err, s3.ErrCanceled) || !errors.Is(err, context.DeadlineExceeded) || took != 250*time.Millisecond {
			t.Errorf("ended after %v: %v", took, err)
		}
	})
}

func TestCutBodyIsContinued(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	for _, at := range []int64{0, 1, 4095, 4096, 9999} {
		for _, kind := range []error{s3.ErrUnavailable, s3.ErrThrottled} {
			cut := s3test.Rule{Op: s3.OpGet, Times: 3, Fault: s3test.Fault{Do: s3test.Cut, After: at, Kind: kind}}
			b, _, m := faulty(cut)
			m.PutBytes("a", []byte(content))
			got, err := readAll(t, b, "a", s3.GetOptions{})
			if err != nil || got != content {
				t.Errorf("cut after %d: %d bytes, %v", at, len(got), err)
			}
			b, f, m := faulty(cut)
			m.PutBytes("a", []byte(content))
			got, err = readAll(t, b, "a", s3.GetOptions{Range: s3.Range{Offset: 5, Length: 9990}})
			if err != nil || got != content[5:9995] {
				t.Errorf("range cut after %d: %d bytes, %v", at, len(got), err)
			}
			if n := m.OpenBodies(); n != 0 || at < 9990 && f.Calls()[s3.OpGet] < 2 {
				t.Errorf("%d bodies open, calls %v", n, f.Calls())
			}
		}
	}
}

func TestCutBodyIsNotContinuedWithAnotherVersion(t *testing.T) {
	b, _, m := faulty(s3test.Rule{Op: s3.OpGet, Nth: 1, Fault: s3test.Fault{Do: s3test.Cut, After: 5}})
	m.PutBytes("a", []byte("old content"))
	body, err := b.Get(t.Context(), "a", s3.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	m.PutBytes("a", []byte("new content"))
	got, err := io.ReadAll(body)
	if string(got) != "old c" || !errors.Is(err, s3.ErrChanged) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestBodyThatMovesOnIsContinuedForEver(t *testing.T) {
	b, f, m := faulty(s3test.Rule{Op: s3.OpGet, Fault: s3test.Fault{Do: s3test.Cut, After: 1}})
	m.PutBytes("a", []byte(strings.Repeat("x", 500)))
	got, err := readAll(t, b, "a", s3.GetOptions{})
	if err != nil || len(got) != 500 || f.Calls()[s3.OpGet] != 500 {
		t.Errorf("%d bytes with %v, %v", len(got), f.Calls(), err)
	}
	b, f, m = faulty(s3test.Rule{Op: s3.OpGet, Fault: s3test.Fault{Do: s3test.Cut}})
	m.PutBytes("a", []byte("x"))
	if _, err := readAll(t, b, "a", s3.GetOptions{}); !errors.Is(err, s3.ErrUnavailable) || f.Calls()[s3.OpGet] != 10 {
		t.Errorf("a body that does not move on: %v, %v", f.Calls(), err)
	}
}

// lostAnswers is each conditional write, as a function of the bucket.
func lostAnswers(t *testing.T) map[string]func(b s3.Bucket, etag string) error {
	return map[string]func(b s3.Bucket, etag string) error{
		s3.OpPut + " new": func(b s3.Bucket, _ string) error {
			_, err := b.Put(t.Context(), "new", strings.NewReader("ours"), s3.PutOptions{IfNoneMatch: "*"})
			return err
		},
		s3.OpPut + " old": func(b s3.Bucket, etag string) error {
			_, err := b.Put(t.Context(), "old", strings.NewReader("ours"), s3.PutOptions{IfMatch: etag})
			return err
		},
		s3.OpCompleteUpload + " new": func(b s3.Bucket, _ string) error { return complete(t, b, "new", s3.PutOptions{IfNoneMatch: "*"}) },
		s3.OpCompleteUpload + " old": func(b s3.Bucket, etag string) error { return complete(t, b, "old", s3.PutOptions{IfMatch: etag}) },
		s3.OpCopy + " new": func(b s3.Bucket, _ string) error {
			_, err := b.Copy(t.Context(), s3.Source{Key: "source"}, "new", s3.CopyOptions{IfNoneMatch: "*"})
			return err
		},
		s3.OpCopy + " attributes": func(b s3.Bucket, _ string) error {
			_, err := b.Copy(t.Context(), s3.Source{Key: "source"}, "attributes", s3.CopyOptions{IfNoneMatch: "*", Attributes: &s3.Attributes{}})
			return err
		},
		s3.OpCopy + " old": func(b s3.Bucket, etag string) error {
			_, err := b.Copy(t.Context(), s3.Source{Key: "source"}, "old", s3.CopyOptions{IfMatch: etag, Attributes: &s3.Attributes{}})
			return err
		},
	}
}

func complete(t *testing.T, b s3.Bucket, key string, o s3.PutOptions) error {
	t.Helper()
	u, err := b.NewUpload(t.Context(), key, o)
	if err != nil {
		return err
	}
	if _, err := u.Part(t.Context(), 1, strings.NewReader("ours")); err != nil {
		return err
	}
	_, err = u.Complete(t.Context())
	return err
}

func TestOwnSuccessIsNotTakenForAnothersChange(t *testing.T) {
	for name, write := range lostAnswers(t) {
		op, key, _ := strings.Cut(name, " ")
		b, f, m := faulty(s3test.Rule{Op: op, Nth: 1, Fault: s3test.Fault{Do: s3test.Drop}})
		old := m.PutBytes("old", []byte("theirs"))
		m.PutBytes("source", []byte("ours"))
		if err := write(b, old.ETag); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := m.Bytes(key); string(got) != "ours" || f.Calls()[op] != 2 {
			t.Errorf("%s: stored %q with %v", name, got, f.Calls())
		}
	}
}

func TestUnclearWriteIsNotBlamedOnOthers(t *testing.T) {
	b, _, m := faulty(
		s3test.Rule{Op: s3.OpPut, Nth: 1, Fault: s3test.Fault{Do: s3test.Drop}},
		s3test.Rule{Op: s3.OpHead, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrDenied}},
	)
	_, err := b.Put(t.Context(), "a", strings.NewReader("x"), s3.PutOptions{IfNoneMatch: "*"})
	if !errors.Is(err, s3.ErrUnavailable) || errors.Is(err, s3.ErrDenied) || len(m.Keys()) != 1 {
		t.Errorf("got %v", err)
	}
}

// What was there before may have the content of a copy that failed, and attributes
// of its own.
func TestCopyThatFailedIsNotTakenForDone(t *testing.T) {
	for _, kind := range []error{s3.ErrUnavailable, s3.ErrDenied} {
		b, _, m := faulty(
			s3test.Rule{Op: s3.OpCopy, Nth: 1, Fault: s3test.Fault{Do: s3test.Fail}},
			s3test.Rule{Op: s3.OpCopy, Fault: s3test.Fault{Do: s3test.Fail, Kind: kind}},
		)
		m.PutBytes("b", []byte("same"))
		src, err := m.Put(t.Context(), "a", strings.NewReader("same"), s3.PutOptions{Attributes: s3.Attributes{Metadata: map[string]string{"mode": "33188"}}})
		if err != nil {
			t.Fatal(err)
		}
		info, err := b.Copy(t.Context(), s3.Source{Key: "a", ETag: src.ETag}, "b", s3.CopyOptions{})
		if !errors.Is(err, kind) {
			t.Errorf("got %+v, %v", info, err)
		}
	}
}

// racer lets somebody else write just before the second attempt of op.
type racer struct {
	s3.Bucket
	m     *s3test.Mem
	calls int
}

func (r *racer) Put(ctx context.Context, key string, body io.ReadSeeker, o s3.PutOptions) (s3.Info, error) {
	if r.calls++; r.calls == 1 {
		return s3.Info{}, &s3.Error{Op: s3.OpPut, Key: key, Kind: s3.ErrUnavailable}
	}
	r.m.PutBytes(key, []byte("same"))
	return r.Bucket.Put(ctx, key, body, o)
}

func TestAnothersChangeIsNotTakenForOwnSuccess(t *testing.T) {
	put := func(o s3.PutOptions, m *s3test.Mem) error {
		b := s3.Retry(&racer{Bucket: m, m: m}, s3.RetryConfig{})
		_, err := b.Put(t.Context(), "a", strings.NewReader("same"), o) // the very content that the other one wrote
		return err
	}
	m := s3test.NewMem(s3test.MemConfig{})
	if err := put(s3.PutOptions{IfNoneMatch: "*"}, m); !errors.Is(err, s3.ErrExists) {
		t.Errorf("create: %v", err)
	}
	old := m.PutBytes("a", []byte("old"))
	if err := put(s3.PutOptions{IfMatch: old.ETag}, m); !errors.Is(err, s3.ErrChanged) {
		t.Errorf("replace: %v", err)
	}
}

// A begin whose answer was lost has begun an upload that nobody knows of. It is
// given up; what somebody else has under way for the same key is not.
func TestUploadThatBeganUnansweredIsAborted(t *testing.T) {
	b, f, m := faulty(s3test.Rule{Op: s3.OpNewUpload, Times: 3, Fault: s3test.Fault{Do: s3test.Drop}})
	begin := func(key string) s3.Upload {
		u, err := m.NewUpload(t.Context(), key, s3.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	theirs, longer := begin("a"), begin("ab")
	if _, err := theirs.Part(t.Context(), 1, strings.NewReader("theirs")); err != nil {
		t.Fatal(err)
	}
	ours, err := b.NewUpload(t.Context(), "a", s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, u := range m.Uploads() {
		left = append(left, u.ID)
	}
	slices.Sort(left)
	want := []string{theirs.ID(), longer.ID(), ours.ID()}
	if slices.Sort(want); !slices.Equal(left, want) {
		t.Errorf("the pending uploads are %q, want %q; after %v", left, want, f.Calls())
	}
	f.Reset()
	if _, err := b.NewUpload(t.Context(), "a", s3.PutOptions{}); err != nil || len(f.Log()) != 1 {
		t.Errorf("an upload that begins at once: %v, %d requests", err, len(f.Log()))
	}
}

// Nobody is hurt where it is not known which of the uploads are ours.
func TestOldEmptyUploadIsNotAborted(t *testing.T) {
	now := time.Now().Add(-time.Minute)
	m := s3test.NewMem(s3test.MemConfig{Now: func() time.Time { return now }})
	old, err := m.NewUpload(t.Context(), "a", s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	f := s3test.NewFaulty(m, s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpNewUpload, Nth: 1, Fault: s3test.Fault{Do: s3test.Drop}}}})
	b := s3.Retry(f, s3.RetryConfig{Sleep: func(context.Context, time.Duration) error { return nil }})
	ours, err := b.NewUpload(t.Context(), "a", s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	left := m.Uploads()
	if len(left) != 2 || left[0].ID != old.ID() || left[1].ID != ours.ID() {
		t.Errorf("the pending uploads are %v, want %s and %s", left, old.ID(), ours.ID())
	}
}

func TestUnconditionalCompleteMeetsItself(t *testing.T) {
	b, f, m := faulty(s3test.Rule{Op: s3.OpCompleteUpload, Nth: 1, Fault: s3test.Fault{Do: s3test.Drop}})
	if err := complete(t, b, "a", s3.PutOptions{}); err != nil {
		t.Errorf("%v after %v", err, f.Calls())
	}
	if err := complete(t, b, "a", s3.PutOptions{}); err != nil || len(m.Uploads()) != 0 {
		t.Errorf("without a fault: %v", err)
	}
}

func TestResumedCompleteMeetsItself(t *testing.T) {
	b, _, _ := faulty(s3test.Rule{Op: s3.OpCompleteUpload, Nth: 1, Fault: s3test.Fault{Do: s3test.Drop}})
	u, err := b.NewUpload(t.Context(), "a", s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Part(t.Context(), 1, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	u, err = b.ResumeUpload(t.Context(), "a", u.ID(), s3.PutOptions{IfNoneMatch: "*"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Complete(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAbortedUploadIsNotTakenForCompleted(t *testing.T) {
	b, _, m := faulty(s3test.Rule{Op: s3.OpCompleteUpload, Nth: 1, Fault: s3test.Fault{Do: s3test.Fail}})
	m.PutBytes("a", []byte("x"))
	u, err := b.NewUpload(t.Context(), "a", s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Part(t.Context(), 1, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	pending := m.Uploads()
	theirs, err := m.ResumeUpload(t.Context(), "a", pending[0].ID, s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Complete(t.Context()); !errors.Is(err, s3.ErrNoUpload) {
		t.Errorf("got %v", err)
	}
}

func TestNonceIsHidden(t *testing.T) {
	b, _, m := faulty()
	put := s3.Attributes{Metadata: map[string]string{"mine": "1"}}
	if _, err := b.Put(t.Context(), "a", strings.NewReader("x"), s3.PutOptions{Attributes: put, IfNoneMatch: "*"}); err != nil {
		t.Fatal(err)
	}
	below, err := m.Head(t.Context(), "a")
	if err != nil || len(below.Metadata) != 2 {
		t.Errorf("below: %v, %v", below.Metadata, err)
	}
	above, err := b.Head(t.Context(), "a")
	if diff := cmp.Diff(put.Metadata, above.Metadata); err != nil || diff != "" {
		t.Errorf("above: %v (-want +got):\n%s", err, diff)
	}
	if len(put.Metadata) != 1 {
		t.Errorf("the caller's map was changed: %v", put.Metadata)
	}
}

func TestDeleteTriesAgainWhatIsLeft(t *testing.T) {
	b, f, m := faulty(s3test.Rule{Op: s3.OpDelete, Nth: 2, Times: 2, Fault: s3test.Fault{Do: s3test.Fail}})
	var targets []s3.Target
	for i := range 2500 {
		key := fmt.Sprintf("k%04d", i)
		m.PutBytes(key, nil)
		targets = append(targets, s3.Target{Key: key})
	}
	if err := b.Delete(t.Context(), targets...); err != nil || len(m.Keys()) != 0 {
		t.Errorf("%d left: %v", len(m.Keys()), err)
	}
	if got := f.Calls()[s3.OpDelete]; got != 5 {
		t.Errorf("%d requests, want 5", got)
	}
}

func TestCredentialsAreRefreshedOnceForAll(t *testing.T) {
	const callers = 50
	m := s3test.NewMem(s3test.MemConfig{})
	m.PutBytes("a", nil)
	refused := s3test.Plan{Rules: []s3test.Rule{{Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrCredentials}}}}
	f := s3test.NewFaulty(m, refused)
	var refreshed, running atomic.Int32
	b := s3.Retry(f, s3.RetryConfig{Refresh: func(context.Context) error {
		refreshed.Add(1)
		if running.Add(1) > 1 {
			t.Error("refreshed twice at once")
		}
		for f.Calls()[s3.OpHead] < callers { // until all have been refused
			runtime.Gosched()
		}
		f.SetPlan(s3test.Plan{})
		running.Add(-1)
		return nil
	}})
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if _, err := b.Head(t.Context(), "a"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if refreshed.Load() != 1 {
		t.Errorf("refreshed %d times", refreshed.Load())
	}
}

func TestCredentialsThatStayBad(t *testing.T) {
	_, f, _ := faulty(s3test.Rule{Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrCredentials}})
	for name, refresh := range map[string]func(context.Context) error{
		"not refreshed":       func(context.Context) error { return errors.New("not logged in") },
		"refreshed in vain":   func(context.Context) error { return nil },
		"nobody to ask again": nil,
	} {
		f.Reset()
		_, err := s3.Retry(f, s3.RetryConfig{Refresh: refresh}).Head(t.Context(), "a")
		want := 1
		if name == "refreshed in vain" {
			want = 2
		}
		if !errors.Is(err, s3.ErrCredentials) || len(f.Log()) != want {
			t.Errorf("%s: %v after %d attempts", name, err, len(f.Log()))
		}
	}
}

func TestThrottlingSlowsEverybodyDownAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := s3test.NewMem(s3test.MemConfig{})
		m.PutBytes("a", nil)
		throttle := s3test.Plan{Rules: []s3test.Rule{{Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrThrottled}}}}
		f := s3test.NewFaulty(m, throttle)
		b := s3.Retry(f, s3.RetryConfig{})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var mu sync.Mutex
		ok := 0
		for range 100 {
			wg.Go(func() {
				for ctx.Err() == nil {
					if _, err := b.Head(ctx, "a"); err == nil {
						mu.Lock()
						ok++
						mu.Unlock()
						time.Sleep(10 * time.Millisecond) // the server's answer
					}
				}
			})
		}
		time.Sleep(30 * time.Second)
		f.Reset()
		time.Sleep(5 * time.Minute)
		if got := f.Calls()[s3.OpHead]; got > 5*300 || got < 100 {
			t.Errorf("%d requests in five minutes while everything was refused", got)
		}
		f.SetPlan(s3test.Plan{})
		time.Sleep(time.Minute)
		mu.Lock()
		ok = 0
		mu.Unlock()
		time.Sleep(time.Second)
		mu.Lock()
		if ok < 5000 {
			t.Errorf("%d requests in a second, a minute after the server recovered", ok)
		}
		mu.Unlock()
		stop()
		wg.Wait()
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for _, kind := range []error{s3.ErrThrottled, s3.ErrUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			b := s3.Retry(headFunc{s3test.NewMem(s3test.MemConfig{}), func() error {
				if calls++; calls == 1 {
					return &s3.Error{Op: s3.OpHead, Kind: kind, Status: 503, RetryAfter: 7 * time.Second}
				}
				return nil
			}}, s3.RetryConfig{})
			start := time.Now()
			if _, err := b.Head(t.Context(), "a"); err != nil || time.Since(start) < 7*time.Second || time.Since(start) > 9*time.Second {
				t.Errorf("%v: %v after %v", kind, err, time.Since(start))
			}
		})
	}
}

func TestRefusedWriteCostsOneRequest(t *testing.T) {
	b, f, m := faulty()
	m.PutBytes("a", nil)
	_, err := b.Put(t.Context(), "a", strings.NewReader("x"), s3.PutOptions{IfNoneMatch: "*"})
	if !errors.Is(err, s3.ErrExists) || len(f.Log()) != 1 {
		t.Errorf("%v with %v", err, f.Calls())
	}
}

// headFunc answers Head by a function.
type headFunc struct {
	s3.Bucket
	f func() error
}

func (b headFunc) Head(context.Context, string) (s3.Info, error) { return s3.Info{}, b.f() }
