package s3

import (
	"context"
	"sync"
	"time"
)

// The pacing of a server that asks to slow down. The rate is halved at most
// once a second, so that the refusals of requests that were already under way
// count as one, and grows with every success, which about doubles it in a
// second.
const (
	slowest  = 1.0    // requests a second; that slow it stays while the server refuses everything
	fastest  = 5000.0 // from here on there is no pace to keep
	halfLife = time.Second
	nap      = 500 * time.Millisecond // how long a request sleeps before it looks at the pace again
)

// pacer is the pace that all requests of a bucket share. It does nothing until
// the server throttles one of them.
type pacer struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error

	mu     sync.Mutex
	rate   float64   // guarded by mu; requests a second, 0 is unlimited
	next   time.Time // guarded by mu; when the next request may start
	halved time.Time // guarded by mu; when rate was last reduced
	since  time.Time // guarded by mu; count began
	count  int       // guarded by mu; requests since then
	recent float64   // guarded by mu; requests a second in the second before
}

// wait returns when a request may start. It gives up at the deadline, with
// false, and when ctx ends, with its cause.
func (p *pacer) wait(ctx context.Context, deadline time.Time) (bool, error) {
	for {
		d := p.reserve()
		if d == 0 {
			return true, nil
		}
		if !p.now().Before(deadline) {
			return false, nil
		}
		if err := p.sleep(ctx, min(d, nap)); err != nil {
			return false, err
		}
	}
}

// reserve takes the next turn, or says how long it is until then.
func (p *pacer) reserve() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if wait := p.next.Sub(now); wait > 0 {
		return wait
	}
	if p.rate > 0 {
		p.next = now.Add(time.Duration(float64(time.Second) / p.rate))
	}
	if elapsed := now.Sub(p.since); elapsed >= time.Second {
		p.recent = float64(p.count) / elapsed.Seconds()
		p.since, p.count = now, 0
	}
	p.count++
	return 0
}

// succeeded tells that the server answered a request.
func (p *pacer) succeeded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate == 0 {
		return
	}
	if p.rate++; p.rate >= fastest {
		p.rate = 0
	}
}

// throttled tells that the server asked to slow down, and how long to wait if
// it said so.
func (p *pacer) throttled(retryAfter time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if until := now.Add(retryAfter); retryAfter > 0 && until.After(p.next) {
		p.next = until
	}
	if now.Sub(p.halved) < halfLife {
		return
	}
	p.halved = now
	before := p.rate
	if before == 0 {
		before = max(p.recent, float64(p.count))
	}
	p.rate = max(before/2, slowest)
}
