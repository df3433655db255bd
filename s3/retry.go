package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"
)

// RetryConfig says how hard to try. The zero value is what a mount wants.
type RetryConfig struct {
	Attempts int           // of one request; 0 is 10
	MinDelay time.Duration // before the second attempt, at most; doubles from then on; 0 is 100 ms
	MaxDelay time.Duration // 0 is 20 s

	// Patience bounds the time that is spent on a read or a request about
	// metadata after its first failure, and UploadPatience that on everything
	// that writes. A body that moves on begins anew. 0 is 60 s and 10 min.
	Patience       time.Duration
	UploadPatience time.Duration

	// Refresh is called when the server does not accept the credentials, never
	// twice at once; when it returns nil, the request is tried once more. May
	// be nil.
	Refresh func(context.Context) error

	Log *slog.Logger

	// For tests; nil is the real thing.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	Rand  func() float64 // in [0, 1)
}

func (c RetryConfig) withDefaults() RetryConfig {
	c.Attempts = cmp.Or(c.Attempts, 10)
	c.MinDelay = cmp.Or(c.MinDelay, 100*time.Millisecond)
	c.MaxDelay = cmp.Or(c.MaxDelay, 20*time.Second)
	c.Patience = cmp.Or(c.Patience, time.Minute)
	c.UploadPatience = cmp.Or(c.UploadPatience, 10*time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return c
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Retry tries requests of b again that may work next time:
//
//   - When the server throttles one request, all of them slow down, and become
//     faster again with each success.
//   - A body that is cut short is continued where it stopped, from the same
//     version of the object; its reader does not notice.
//   - A write whose answer was lost may have happened. When its next attempt is
//     refused because of that, it is recognised as done: see nonce.go.
//   - Credentials that are not accepted are refreshed once.
//
// Beside [Bucket], what it returns is a [CORS], [Tags], [Versions] and [Policy];
// where b is not, these answer ErrUnsupported.
func Retry(b Bucket, cfg RetryConfig) Bucket {
	cfg = cfg.withDefaults()
	return &retrier{
		b:          b,
		cfg:        cfg,
		pacer:      pacer{now: cfg.Now, sleep: cfg.Sleep},
		refreshing: make(chan struct{}, 1),
	}
}

type retrier struct {
	b     Bucket
	cfg   RetryConfig
	pacer pacer

	refreshing chan struct{} // holds one element while Refresh runs
	refreshed  atomic.Int64  // how often it succeeded

	unlistable atomic.Bool // uploads that nobody knows can't be found, and that was told
}

func (r *retrier) Unwrap() Bucket { return r.b }

// tries is one request with all its attempts.
type tries struct {
	r        *retrier
	ctx      context.Context
	op, key  string
	patience time.Duration

	began     time.Time // the first attempt; once that has failed, when it did
	failed    int       // attempts
	refreshed bool
	fresh     int64 // r.refreshed when the attempt began
}

func (r *retrier) tries(ctx context.Context, op, key string, patience time.Duration) *tries {
	return &tries{r: r, ctx: ctx, op: op, key: key, patience: patience, began: r.cfg.Now()}
}

// do runs call until it succeeds or trying again makes no sense.
func (r *retrier) do(ctx context.Context, op, key string, patience time.Duration, call func() error) error {
	t := r.tries(ctx, op, key, patience)
	for {
		err := t.try(call)
		if err == nil || !t.again(&err) {
			return err
		}
	}
}

// try runs call at the common pace.
func (t *tries) try(call func() error) error {
	ready, err := t.r.pacer.wait(t.ctx, t.began.Add(t.patience))
	switch {
	case err != nil:
		return &Error{Op: t.op, Key: t.key, Kind: ErrCanceled, Err: err}
	case !ready:
		return &Error{Op: t.op, Key: t.key, Kind: ErrThrottled, Err: errors.New("too many requests were waiting")}
	}
	t.fresh = t.r.refreshed.Load()
	err = call()
	var e *Error
	switch {
	case errors.Is(err, ErrThrottled) && errors.As(err, &e):
		t.r.pacer.throttled(e.RetryAfter)
	case err == nil || errors.As(err, &e) && e.Status != 0 && e.Status < 500:
		t.r.pacer.succeeded()
	}
	return err
}

// again waits until the next attempt. When there is none it returns false and
// may make err say why.
func (t *tries) again(err *error) bool {
	if t.failed++; t.failed == 1 {
		t.began = t.r.cfg.Now() // what waited long for its turn is not impatient
	}
	if errors.Is(*err, ErrCredentials) {
		return t.refresh()
	}
	if !transient(*err) {
		return false
	}
	delay, ok := t.delay(*err)
	if !ok {
		*err = t.gaveUp(*err)
		return false
	}
	t.r.cfg.Log.Debug("trying again", "op", t.op, "key", t.key, "attempt", t.failed+1, "delay", delay, "err", *err)
	if cause := t.r.cfg.Sleep(t.ctx, delay); cause != nil {
		*err = &Error{Op: t.op, Key: t.key, Kind: ErrCanceled, Err: cause}
		return false
	}
	return true
}

// transient says whether a failure may go away by itself.
func transient(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrThrottled) || errors.Is(err, ErrCorrupt)
}

// maxCorrupt is how many attempts there are at what arrives damaged: that is
// seldom bad luck more than once.
const maxCorrupt = 3

// delay returns how long to wait before the next attempt, if there is one.
func (t *tries) delay(err error) (time.Duration, bool) {
	cfg := &t.r.cfg
	if t.failed >= cfg.Attempts || errors.Is(err, ErrCorrupt) && t.failed >= maxCorrupt {
		return 0, false
	}
	var e *Error
	errors.As(err, &e)
	var d time.Duration
	if t.failed > 1 || !wasIdle(e) {
		ceiling := min(cfg.MaxDelay, cfg.MinDelay<<min(t.failed-1, 30))
		d = time.Duration(cfg.Rand() * float64(ceiling))
		d = max(d, e.RetryAfter)
	}
	return d, cfg.Now().Sub(t.began)+d < t.patience
}

// wasIdle says whether a request probably died with a connection that the
// server had given up meanwhile. Nothing is wrong then.
func wasIdle(e *Error) bool {
	if e.Kind != ErrUnavailable || e.Status != 0 || errors.Is(e.Err, errStalled) {
		return false
	}
	op, ok := errors.AsType[*net.OpError](e.Err)
	return !ok || op.Op == "read" || op.Op == "write"
}

// gaveUp adds to err how long it was tried.
func (t *tries) gaveUp(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || t.failed == 1 {
		return err
	}
	more := *e
	after := fmt.Sprintf("gave up after %d attempts in %v", t.failed, t.r.cfg.Now().Sub(t.began).Round(time.Millisecond))
	if more.Err = errors.New(after); e.Err != nil {
		more.Err = fmt.Errorf("%s: %w", after, e.Err)
	}
	return &more
}

// refresh gets new credentials, unless somebody has done so since the attempt
// began, and says whether to try with them. Requests that are not refused go on
// meanwhile.
func (t *tries) refresh() bool {
	r := t.r
	if t.refreshed || r.cfg.Refresh == nil {
		return false
	}
	t.refreshed = true
	select {
	case r.refreshing <- struct{}{}:
		defer func() { <-r.refreshing }()
	case <-t.ctx.Done():
		return false
	}
	if r.refreshed.Load() != t.fresh {
		return true
	}
	if err := r.cfg.Refresh(t.ctx); err != nil {
		r.cfg.Log.Error("getting new credentials", "err", err)
		return false
	}
	r.refreshed.Add(1)
	return true
}
