package snapshot

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/cgs3fs/cgs3fs/s3"
)

// gate bounds the requests in flight and adapts the bound to the server: one
// more for each round that went well, half when it asks to slow down. A fresh
// dated prefix is one partition at first, which S3 splits only under load, so the
// bound has to find its way both up and down.
type gate struct {
	max   int
	pause func(context.Context, time.Duration) error

	mu      sync.Mutex
	limit   float64       // guarded by mu
	busy    int           // guarded by mu
	waiting chan struct{} // guarded by mu; closed when there may be room
	slowed  int64         // guarded by mu; how often the server complained
}

// gateStart is what the gate begins with: the default of most tools.
const gateStart = 16

func newGate(max int, pause func(context.Context, time.Duration) error) *gate {
	return &gate{max: max, pause: pause, limit: float64(min(max, gateStart)), waiting: make(chan struct{})}
}

func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		if g.busy < int(g.limit) {
			g.busy++
			g.mu.Unlock()
			return nil
		}
		waiting := g.waiting
		g.mu.Unlock()
		select {
		case <-waiting:
		case <-ctx.Done():
			return canceled(ctx)
		}
	}
}

func (g *gate) leave(throttled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	if throttled {
		g.slowed++
		g.limit = max(1, g.limit/2)
	} else {
		g.limit = min(float64(g.max), g.limit+1/g.limit)
	}
	close(g.waiting)
	g.waiting = make(chan struct{})
}

// Throttling is waited out here, on top of what the bucket itself retries, since
// giving up a run of hours for a busy minute helps nobody: eight times, at most
// 1, 2, 4 … 60 seconds.
const (
	gateTries   = 8
	gateBackoff = time.Second
	gateLongest = time.Minute
)

// do makes one request when there is room for it.
func (g *gate) do(ctx context.Context, request func() error) error {
	backoff := gateBackoff
	for try := 1; ; try++ {
		if err := g.enter(ctx); err != nil {
			return err
		}
		err := request()
		throttled := errors.Is(err, s3.ErrThrottled)
		g.leave(throttled)
		if !throttled || try == gateTries {
			return err
		}
		if err := g.pause(ctx, rand.N(backoff)); err != nil {
			return err
		}
		backoff = min(2*backoff, gateLongest)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return canceled(ctx)
	}
}

func canceled(ctx context.Context) error {
	return &s3.Error{Op: "snapshot", Kind: s3.ErrCanceled, Err: context.Cause(ctx)}
}

// budget bounds the bytes of streamed data in memory.
type budget struct {
	size int64
	left *semaphore.Weighted
}

func newBudget(size int64) *budget {
	return &budget{size, semaphore.NewWeighted(size)}
}

// take waits for n bytes; more than there are at all counts as all.
func (b *budget) take(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, b.size)
	if err := b.left.Acquire(ctx, n); err != nil {
		return nil, canceled(ctx)
	}
	return func() { b.left.Release(n) }, nil
}
